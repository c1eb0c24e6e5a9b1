"""Values of pandas and numpy, told apart without an import of either: whoever gives one has imported its package."""

from __future__ import annotations

import sys
from typing import Any


def is_frame(value: Any) -> bool:
    """Whether this is a DataFrame of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_series(value: Any) -> bool:
    """Whether this is a Series of pandas."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.Series)


def is_array(value: Any) -> bool:
    """Whether this is an array of numpy."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)
