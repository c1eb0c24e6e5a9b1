"""Settings that every task over audio or images has: whether and how far the network may be read, and how much an input
may become. Small files can hold hours of silence or a wall of one colour, so what decoding makes is bounded.
"""

from __future__ import annotations

from hfspec.tasks.setting import Setting

ALLOW_URLS = Setting(
    "allow_urls",
    ("boolean",),
    "Let an input be an http or https address, which is then fetched; for model_config only, not for callers.",
    default=False,
)
ALLOW_FILES = Setting(
    "allow_files",
    ("boolean",),
    "Let an input be the path of a file, which is then opened; true by default, and false for whatever is sent to"
    " hfspec serve; for model_config only, not for callers.",
)
URL_MAX_BYTES = Setting(
    "url_max_bytes", ("integer",), "How many bytes an address may give at most.", minimum=1, default=100_000_000
)
URL_TIMEOUT = Setting("url_timeout", ("number",), "How many seconds fetching an address may take.", above=0, default=30)
FILE_MAX_BYTES = Setting(
    "file_max_bytes",
    ("integer",),
    "How many bytes a file that an input names may have; for model_config only, as are the other bounds.",
    minimum=1,
    default=1_000_000_000,
)
AUDIO_MAX_SECONDS = Setting(
    "audio_max_seconds",
    ("number",),
    "How many seconds one sound may last; longer ones are refused before they fill the memory.",
    above=0,
    default=1800,
)
AUDIO_MAX_SAMPLES = Setting(
    "audio_max_samples",
    ("integer",),
    "How many samples one sound may have, per channel, at its file's own rate.",
    minimum=1,
    default=200_000_000,
)
IMAGE_MAX_PIXELS = Setting(
    "image_max_pixels",
    ("integer",),
    "How many pixels one image may have, decoded or as the model's processor makes it; Pillow's own limit,"
    " PIL.Image.MAX_IMAGE_PIXELS, holds too.",
    minimum=1,
    default=89_478_485,
)
_EVERY = (ALLOW_FILES, ALLOW_URLS, URL_MAX_BYTES, URL_TIMEOUT, FILE_MAX_BYTES)
AUDIO = (*_EVERY, AUDIO_MAX_SECONDS, AUDIO_MAX_SAMPLES)
IMAGES = (*_EVERY, IMAGE_MAX_PIXELS)
# Settings that let a row open files and addresses; a row that another machine sent may not.
OPENS = (ALLOW_FILES, ALLOW_URLS)
# Settings that the deployment decides, and no caller.
FIXED = frozenset(setting.name for setting in (*AUDIO, *IMAGES))
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
