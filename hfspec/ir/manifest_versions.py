"""``artifact.json`` as any released hfspec wrote it, read as the form of today.

``format_version`` says which form a manifest has. A version of hfspec that changes the form raises FORMAT_VERSION and
adds a row to READERS for the form that was before, so that every artifact ever written is still read. A manifest that
says what older ones cannot read, or would pass over, has a number of its own, as that of a graph or of a compute_dtype
has, and all others keep theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hfspec.ir.canonical import canonical, digest_of

FORMAT_VERSION, LATER_VERSION = 1, 2
RELEASE = re.compile(r"[0-9][0-9A-Za-z.+]{0,31}")

Body = Mapping[str, Any]


class NewerFormatError(ValueError):
    """A file in a form that only a newer hfspec reads. The message begins with a verb and ends with the remedy."""


def _todays(body: Body) -> Body:
    return body


# Format version -> what makes today's form of a manifest in that form, given without its digest.
READERS: Mapping[int, Callable[[Body], Body]] = MappingProxyType({FORMAT_VERSION: _todays, LATER_VERSION: _todays})


def read(data: bytes) -> tuple[Body, str]:
    """A manifest in the form of today, without its digest, and the digest that it was written with.

    Args:
        data: The bytes of ``artifact.json``.

    Returns:
        The manifest's JSON value, and sha256 in hex over that value as it was written, whatever its version.

    Raises:
        NewerFormatError: A newer hfspec wrote it.
        ValueError: It is not a manifest, or its content does not match its own digest.
    """
    try:
        value = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"it is not JSON: {error}") from error
    reader = _reader(value)
    digest = value.get("digest")
    body = {key: item for key, item in value.items() if key != "digest"}
    if canonical(value) != data or digest != digest_of(body):
        raise ValueError("its content does not match its own digest")
    return reader(body), digest


def check_not_newer(version: object, newest: int, made_by: object = None) -> None:
    """Raise NewerFormatError when ``version`` is a whole number above ``newest``, the last one that is read here.

    Args:
        version: What the file says of its form.
        newest: The newest form that this hfspec reads.
        made_by: The version of hfspec that wrote the file, as far as the file says so.
    """
    if type(version) is not int or version <= newest:
        return
    maker = f"hfspec>={made_by}" if isinstance(made_by, str) and RELEASE.fullmatch(made_by) else "hfspec"
    raise NewerFormatError(
        f"was made by a newer hfspec: it has format version {version}, and this hfspec reads {newest} at most. Upgrade"
        f" hfspec (pip install --upgrade '{maker}'), or make it again from its spec with this hfspec"
    )


def _reader(value: Any) -> Callable[[Body], Body]:
    if not isinstance(value, dict) or type(value.get("format_version")) is not int:
        raise ValueError("it is not a manifest of hfspec: it has no format_version")
    version, made_by = value["format_version"], value.get("made_by")
    check_not_newer(version, max(READERS), made_by.get("hfspec") if isinstance(made_by, dict) else None)
    if version not in READERS:
        raise ValueError(f"no hfspec has ever written format version {version}")
    return READERS[version]
