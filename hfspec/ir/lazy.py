"""The objects that tables name, imported when they are needed."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def named(path: str) -> Any:
    """Import the object that a table names.

    Args:
        path: ``module:NAME``.

    Raises:
        ImportError: The module, or a package that it needs, is not installed.
    """
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
