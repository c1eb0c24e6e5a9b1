"""Answers as values: a table without pandas, and any answer as plain JSON values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from hfspec.inputs.frames import is_frame

NUMPY_TYPES = {
    "string": "str",
    "double": "float64",
    "long": "int64",
    "boolean": "bool",
    "object": "object",
    "array": "object",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A data frame to be: column name -> type (string, double, long, boolean, object, array), and the rows' values in
    that order. An object is a dict; an array is a list, as of objects, or a numpy array, as a mask.
    """

    columns: Mapping[str, str]
    rows: tuple[tuple[Any, ...], ...]

    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]

    def to_pandas(self) -> Any:
        """The table as a pandas DataFrame, typed even when it is empty."""
        import numpy as np
        import pandas as pd

        types = {name: NUMPY_TYPES[kind] for name, kind in self.columns.items()}
        if not self.rows:
            return pd.DataFrame(columns=list(types)).astype(types)
        columns = zip(types.values(), zip(*self.rows, strict=True), strict=True)
        # pandas finds a text's type itself, and casts none: for one row that takes a quarter of the time. It copies no
        # new array, and the index of the names, whose type it finds too, is made once.
        frame = pd.DataFrame(
            {
                place: list(cells) if kind in {"str", "object"} else np.array(cells, kind)
                for place, (kind, cells) in enumerate(columns)
            },
            copy=False,
        )
        frame.columns = _index(tuple(types)).copy(deep=True)
        return frame


@cache
def _index(names: tuple[str, ...]) -> Any:
    """The index of the names; callers copy it, since its name and its values can be changed."""
    import pandas as pd

    return pd.Index(names)


def to_json(answer: Any) -> Any:
    """The answer as plain JSON values: nan and infinities, which JSON does not have, become null."""
    return _finite(plain(answer))


def plain(answer: Any) -> Any:
    """The answer as plain values, nan as it is: a table or data frame as a list of records, an array as lists."""
    if isinstance(answer, Table) or is_frame(answer):
        return plain(answer.records() if isinstance(answer, Table) else answer.to_dict(orient="records"))
    if isinstance(answer, Mapping):
        return {str(key): plain(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [plain(value) for value in answer]
    if hasattr(answer, "tolist"):  # numpy's arrays and scalars
        return plain(answer.tolist())
    return answer


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
