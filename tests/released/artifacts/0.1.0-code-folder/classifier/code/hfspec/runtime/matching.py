"""What the losses of detectors import of scipy.optimize: scipy is imported when one matches boxes.

It stands in for scipy.optimize at the head of the modules that hfspec/runtime/starting.py names, and there alone. What
is not defined here is scipy's own, imported at once.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

WHOLE = "scipy.optimize"


def linear_sum_assignment(*args: Any, **kwargs: Any) -> Any:
    """As scipy's."""
    return import_module(WHOLE).linear_sum_assignment(*args, **kwargs)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # what the import system asks of any module
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(WHOLE), name)
