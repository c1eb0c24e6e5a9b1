"""The bytes of an audio file or an image, from bytes, a path, a URI, base64 text, or a mapping with one of them.

A str is read, in this order, as a data: URI, an http or https address, a file: URI, the path of a file that exists,
base64 text of at least MEDIA_BYTES bytes. Anything else is an error, never a guess.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import url2pathname

from hfspec.errors import InputError, ParamsError
from hfspec.runtime.media import remote
from hfspec.settings.precedence import PREDICT, SIGNATURE, Settings
from hfspec.tasks import media as task
from hfspec.tasks.setting import Setting

SENT_ONLY = "give the content itself, as base64 text or a data: URI"
MEDIA_BYTES = 16  # no audio file and no image is shorter, while many a word is valid base64


def check_fixed(settings: Settings) -> None:
    """Raises ParamsError when callers could let themselves onto the network, or past a bound."""
    names = [name for name in sorted(task.FIXED) if settings.origin(name) in {SIGNATURE, PREDICT}]
    if names:
        raise ParamsError(f"{', '.join(names)} can be set by model_config only, not by signature.params.")


def bound(settings: Settings, setting: Setting) -> float:
    """The value in force of a setting that bounds what an input may become."""
    value = settings.get(setting.name)
    return float(setting.default if value is None else value)  # type: ignore[arg-type]


def unwrapped(value: Any, row: int) -> Any:
    """A mapping's ``bytes``, or its ``path`` where it has none; anything else as it is."""
    if not isinstance(value, Mapping) or "array" in value or "raw" in value:
        return value
    own = value.get("bytes") if value.get("bytes") is not None else value.get("path")
    if own is None:
        raise InputError("the mapping has neither bytes nor a path.", row=row)
    return own


def on_host(value: Any) -> Any:
    """An array, or a tensor on any device, in a form that numpy can read; numpy has no bfloat16."""
    if not hasattr(value, "detach"):
        return value
    tensor = value.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() and tensor.element_size() < 4 else tensor).numpy()


def content(value: Any, row: int, settings: Settings, kind: str) -> bytes:
    """The bytes of ``value``; ``kind`` names the medium for messages. Raises InputError naming the row."""
    data = _bytes(value, row, settings, kind)
    if not data:
        raise InputError(f"the {kind} is empty: it has no bytes.", row=row)
    return data


def _bytes(value: Any, row: int, settings: Settings, kind: str) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, os.PathLike):
        _refuse_files(settings, row)
        return _file(Path(value), row, settings)
    if not isinstance(value, str):
        raise InputError(f"expected bytes, a path, a URI or base64 text, found {type(value).__name__}.", row=row)
    if not value.strip():
        raise InputError(f"the {kind} is an empty text; give a path, a URI or base64 text.", row=row)
    return _text(value, row, settings, kind)


def _text(text: str, row: int, settings: Settings, kind: str) -> bytes:
    start = text[:8].lower()
    if start.startswith("data:"):
        return _data_uri(text, row)
    if start.startswith(remote.SCHEMES):
        return _remote(text, row, settings)
    if start.startswith("file:"):
        _refuse_files(settings, row)
        return _file(_local(text, row), row, settings)
    opens = settings.get(task.ALLOW_FILES.name) is not False
    path = Path(text) if opens and len(text) < 4096 and "\0" not in text else None
    if path is not None and _exists(path):
        return _file(path, row, settings)
    data = _base64(text)
    if data is not None and len(data) >= MEDIA_BYTES:
        return data
    excerpt = text if len(text) <= 80 else f"{text[:80]}…"
    if not opens:
        raise InputError(f"{excerpt!r} is not base64 text of an {kind} file; {SENT_ONLY}.", row=row)
    raise InputError(f"{excerpt!r} is neither the path of a file nor base64 text of an {kind} file.", row=row)


def _refuse_files(settings: Settings, row: int) -> None:
    """Raises InputError where the deployment opens no files for inputs, whether there is one or not."""
    if settings.get(task.ALLOW_FILES.name) is False:
        raise InputError(f"this deployment opens no files for its inputs; {SENT_ONLY}.", row=row)


def _data_uri(text: str, row: int) -> bytes:
    head, comma, body = text.partition(",")
    data = _base64(body) if head.endswith(";base64") else unquote_to_bytes(body)
    if not comma or data is None:
        raise InputError("the data: URI is damaged: what follows the comma is not base64.", row=row)
    return data


def _remote(address: str, row: int, settings: Settings) -> bytes:
    if settings.get(task.ALLOW_FILES.name) is False and not settings.get(task.ALLOW_URLS.name):
        raise InputError(f"this deployment fetches no addresses; {SENT_ONLY}.", row=row)
    if not settings.get("allow_urls"):
        raise InputError(
            f"{address} is an address, and this deployment does not fetch addresses; give the content itself, or set"
            " model_config.allow_urls: true in the spec.",
            row=row,
        )
    return remote.fetch(address, row, int(settings["url_max_bytes"]), float(settings["url_timeout"]))


def _local(uri: str, row: int) -> Path:
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise InputError(f"{uri} names a file of another machine ({parts.netloc}).", row=row)
    return Path(url2pathname(parts.path))


def _file(path: Path, row: int, settings: Settings) -> bytes:
    most = int(bound(settings, task.FILE_MAX_BYTES))
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} cannot be read: it is not a regular file.", row=row)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.", row=row) from error
    if len(data) > most:
        raise InputError(
            f"{path} has more than {most} bytes; give a smaller file, or raise model_config.file_max_bytes.", row=row
        )
    return data


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def _base64(text: str) -> bytes | None:
    """The bytes, None when the text is not base64; line breaks and the URL-safe letters are allowed."""
    compact = "".join(text.split()).replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
