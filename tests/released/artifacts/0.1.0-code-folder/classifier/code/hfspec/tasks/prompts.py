"""Settings that every task of sentence-transformers has: what is put before each text."""

from __future__ import annotations

from hfspec.tasks.setting import Setting

PROMPT_NAME = Setting("prompt_name", ("string",), "The name of one of the model's own prompts, put before each text.")
PROMPT = Setting("prompt", ("string",), "A text put before each text; wins over prompt_name and role.")
ROLE = Setting(
    "role",
    ("string",),
    "What the texts are, in models that embed queries and documents differently: each role has a prompt of its own,"
    " among the model's. prompt and prompt_name win over it.",
    choices=("query", "document"),
)
