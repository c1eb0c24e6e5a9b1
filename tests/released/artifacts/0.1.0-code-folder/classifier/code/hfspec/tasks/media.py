"""Settings that every task over audio or images has: whether and how far the network may be read."""

from __future__ import annotations

from hfspec.tasks.setting import Setting

ALLOW_URLS = Setting(
    "allow_urls",
    ("boolean",),
    "Let an input be an http or https address, which is then fetched; for model_config only, not for callers.",
    default=False,
)
URL_MAX_BYTES = Setting(
    "url_max_bytes", ("integer",), "How many bytes an address may give at most.", minimum=1, default=100_000_000
)
URL_TIMEOUT = Setting("url_timeout", ("number",), "How many seconds fetching an address may take.", above=0, default=30)
REMOTE = (ALLOW_URLS, URL_MAX_BYTES, URL_TIMEOUT)
BATCH_SECONDS = Setting(
    "batch_seconds",
    ("number",),
    "How many seconds of audio one forward pass may hold.",
    above=0,
    default=240,
)
BATCH_IMAGES = Setting(
    "batch_images", ("integer",), "How many images one forward pass may hold.", minimum=1, default=16
)
