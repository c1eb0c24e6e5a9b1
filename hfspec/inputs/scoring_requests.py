"""The forms of rows in MLflow's scoring protocol, as they are sent: which one a body has, and whether it is a good one.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfspec.errors import InputError

SPLIT, RECORDS, INSTANCES, INPUTS = "dataframe_split", "dataframe_records", "instances", "inputs"
FORMS = (SPLIT, RECORDS, INSTANCES, INPUTS)
# A body with one of these is a request of the OpenAI API, whatever else it has.
OPENAI_KEYS = frozenset({"messages", "prompt", "input"})
SPLIT_KEYS = frozenset({"columns", "data", "index"})


def form_of(body: Mapping[str, Any]) -> str:
    """The one form that the body has its rows in; raises InputError."""
    forms = [form for form in FORMS if form in body]
    if len(forms) != 1:
        text = ", ".join(forms) or "none of them"
        raise InputError(f"The body must have exactly one of {', '.join(FORMS)}; it has {text}.")
    return forms[0]


def check_split(value: Any) -> None:
    """Raises InputError for what is no table in parts."""
    good = isinstance(value, Mapping) and isinstance(value.get("data"), list) and set(value) <= SPLIT_KEYS
    if not good or not isinstance(value.get("index"), list | None):
        raise InputError(f"{SPLIT} must be an object with the list data, and as it needs columns and index.")


def check_records(value: Any) -> None:
    """Raises InputError for what is no list of rows."""
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise InputError(f"{RECORDS} must be a list of objects, one a row, column -> value.")


def records_of_split(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table in parts, by the names of its columns, or their numbers; raises InputError."""
    check_split(value)
    rows, names = value["data"], value.get("columns")
    cells = [row if isinstance(row, list) else [row] for row in rows]
    if names is None:
        names = list(range(max(map(len, cells), default=0)))
    if not isinstance(names, list) or len(set(map(str, names))) != len(names):
        raise InputError(f"{SPLIT} is not a table: columns must be a list of different names.")
    if value.get("index") is not None and len(value["index"]) != len(cells):
        raise InputError(f"{SPLIT} is not a table: its index must have one name for each row.")
    for number, row in enumerate(cells):
        if len(row) != len(names):
            raise InputError(f"{SPLIT} is not a table: row {number} has {len(row)} cells for {len(names)} columns.")
    return [dict(zip(map(str, names), row, strict=True)) for row in cells]
