"""The packages that the emitted predictor needs, at the versions it was planned with."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict


def versions(*names: str) -> FrozenDict:
    """Package -> installed version, without the build's own suffix (``2.13.0+cpu`` is ``2.13.0``), and python's.

    Raises UsageError when one is not installed: what the
    predictor was planned with could not be said.
    """
    packages = {name: _version(name).partition("+")[0] for name in names}
    return FrozenDict({**packages, "python": _python()})


def installed(names: Iterable[str]) -> FrozenDict:
    """The versions found here of packages, and of ``python``, as versions() gives them; ``not installed`` for none."""
    version_of = {}
    for name in names:
        try:
            version_of[name] = _python() if name == "python" else version(name).partition("+")[0]
        except (PackageNotFoundError, ValueError):
            version_of[name] = "not installed"
    return FrozenDict(version_of)


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


@cache  # looked for in every folder of the path
def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise UsageError(
            f"the task needs the package {name}, which is not installed here; pip install {name}."
        ) from error


def requirement_lines(packages: FrozenDict, missing: Iterable[str] = ()) -> tuple[str, ...]:
    """Lines for pip, sorted. ``missing``: the lines of packages that are not installed here."""
    return tuple(sorted([*(f"{name}=={packages[name]}" for name in packages if name != "python"), *missing]))
