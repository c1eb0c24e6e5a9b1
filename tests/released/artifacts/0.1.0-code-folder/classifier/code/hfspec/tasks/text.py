"""Settings that every task over text has."""

from __future__ import annotations

from hfspec.tasks.setting import Setting

TRUNCATION = Setting(
    "truncation",
    ("boolean",),
    "Cut a text that is longer than the model can read, instead of refusing it.",
    default=False,
)
BATCH_TOKENS = Setting(
    "batch_tokens",
    ("integer",),
    "How many tokens, padding included, one forward pass may hold. By default what suits the device: on a CPU 256 to"
    " 1024 by the model's width, or 4096 where text is generated, on a GPU more the more memory it has.",
    minimum=1,
)
