"""The installed hfspec as a wheel, so that a container runs the code that exported it, released or not."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import hfspec
from hfspec.errors import UsageError

LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip archive can name
WHEEL = "Wheel-Version: 1.0\nGenerator: hfspec\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def installed() -> Distribution:
    """The metadata of the installed hfspec; raises UsageError where it is not installed."""
    try:
        return distribution(hfspec.__name__)
    except PackageNotFoundError as error:
        raise UsageError("hfspec is not installed here, only on Python's path; pip install it first") from error


def wheel_name() -> str:
    """The file's name, which pip goes by."""
    return f"{hfspec.__name__}-{hfspec.__version__}-py3-none-any.whl"


def wheel() -> bytes:
    """The package as it is installed; the same bytes for the same files.

    Raises UsageError where hfspec is not installed.
    """
    info = f"{hfspec.__name__}-{hfspec.__version__}.dist-info"
    members = {**dict(_modules()), f"{info}/WHEEL": WHEEL.encode()}
    package = installed()
    # In a clone's folder Python finds the metadata that setuptools left there, where METADATA is called PKG-INFO.
    members[f"{info}/METADATA"] = (package.read_text("METADATA") or package.read_text("PKG-INFO") or "").encode()
    members[f"{info}/entry_points.txt"] = (package.read_text("entry_points.txt") or "").encode()
    lines = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in sorted(members.items())]
    members[f"{info}/RECORD"] = ("\n".join([*lines, f"{info}/RECORD,,"]) + "\n").encode()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as file:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, LONG_AGO)
            member.create_system, member.external_attr = 3, 0o100644 << 16
            file.writestr(member, content)
    return archive.getvalue()


def _modules() -> Iterator[tuple[str, bytes]]:
    package = Path(hfspec.__file__).parent
    for path in sorted(package.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(package.parent).as_posix(), path.read_bytes()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
