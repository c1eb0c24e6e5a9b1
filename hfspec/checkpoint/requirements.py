"""The packages that the emitted predictor needs, at the versions it was planned with."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict

PACKAGES = ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")


def versions(*more: str) -> FrozenDict:
    """Package -> installed version, without the build's own suffix (``2.13.0+cpu`` is ``2.13.0``), and python's.

    ``more``: packages beside those that every predictor needs. Raises UsageError when one is not installed: what the
    predictor was planned with could not be said.
    """
    found = {name: _version(name).partition("+")[0] for name in (*PACKAGES, *more)}
    return FrozenDict({**found, "python": f"{sys.version_info.major}.{sys.version_info.minor}"})


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError as error:
        raise UsageError(
            f"the task needs the package {name}, which is not installed here; pip install {name}."
        ) from error


def requirement_lines(found: FrozenDict) -> tuple[str, ...]:
    """Lines for pip, sorted."""
    return tuple(f"{name}=={found[name]}" for name in sorted(found) if name != "python")
