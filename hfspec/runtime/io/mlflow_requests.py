"""Requests read as they were sent, where MLflow would change or refuse them before a predictor sees them.

MLflow takes a request apart to check it by a signature, and for a model that checks its input itself its server reads
only bodies with ``inputs``. ``read_as_sent`` puts readers of our own before three functions of MLflow, for the models
of this package alone; requests to any other model of the process are read as before. A function whose parameters are
not those of the MLflow in our tests stays as it is.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from inspect import signature
from io import StringIO
from types import MappingProxyType
from typing import Any, NamedTuple

from hfspec.errors import InputError
from hfspec.inputs import scoring_requests
from hfspec.inputs.scoring_requests import INPUTS, INSTANCES, RECORDS, SPLIT
from hfspec.settings.load_arguments import LOADER

CSV, JSON = "text/csv", "application/json"
# Columns of CSV that are more than text, as pandas types that know missing values.
CSV_TYPES = {"integer": "Int64", "long": "Int64", "float": "Float64", "double": "Float64", "boolean": "boolean"}
CALLER = "mlflow.pyfunc"  # the module of MLflow that loads models
LOG = logging.getLogger("hfspec")


class Reader(NamedTuple):
    """``read`` stands before the function ``name`` of MLflow's ``module``, which takes ``parameters``."""

    module: str
    name: str
    parameters: tuple[str, ...]
    read: Callable[..., Any]


def read_as_sent() -> None:
    """Put the readers in place, once a process, if MLflow loads a model in it."""
    if CALLER not in sys.modules:
        return
    for reader in READERS_OF_REQUESTS:
        _put_before(reader)


def _put_before(reader: Reader) -> None:
    module = import_module(reader.module)
    original = getattr(module, reader.name, None)
    if hasattr(original, "reads_as_sent"):
        return
    if not callable(original) or tuple(signature(original).parameters) != reader.parameters:
        LOG.warning(
            "%s.%s of the MLflow that is installed is not the function that hfspec knows, and is left as it is: MLflow"
            " reads fewer forms of requests (docs/mlflow.md).",
            reader.module,
            reader.name,
        )
        return

    @wraps(original)
    def read(*arguments: Any, **options: Any) -> Any:
        return reader.read(original, *arguments, **options)

    vars(read)["reads_as_sent"] = True
    setattr(module, reader.name, read)


def _json(original: Callable[..., Any], data: Any, metadata: Any, input_schema: Any) -> Any:
    """``_parse_json_data`` with any of the protocol's forms turned into the one that MLflow reads for such a model."""
    return original(_with_inputs(data) if _is_ours(metadata) else data, metadata, input_schema)


def _csv(original: Callable[..., Any], data: Any, content_type: str, model: Any, input_schema: Any) -> Any:
    """``invocations`` with a table whose texts stay texts: pandas would read numbers, and NA as a missing value."""
    kind, *rest = (content_type or "").split(";")
    if kind.strip() == CSV and _is_ours(model.metadata):
        data = {"inputs": _table(data, model.metadata.signature)}
        content_type = ";".join([JSON, *rest])
    return original(data, content_type, model, input_schema)


def _unchecked(
    original: Callable[..., Any], data: Any, params: Any, input_schema: Any, *rest: Any, **options: Any
) -> Any:
    """``_validate_prediction_input``, which predict_stream calls, without the columns' check. The loader comes last."""
    loader = options.get("flavor", rest[-1] if rest else None)
    return original(data, params, None if loader == LOADER else input_schema, *rest, **options)


READERS_OF_REQUESTS = (
    Reader("mlflow.pyfunc.scoring_server", "_parse_json_data", ("data", "metadata", "input_schema"), _json),
    Reader("mlflow.pyfunc.scoring_server", "invocations", ("data", "content_type", "model", "input_schema"), _csv),
    Reader(
        CALLER,
        "_validate_prediction_input",
        ("data", "params", "input_schema", "params_schema", "flavor"),
        _unchecked,
    ),
)


def _is_ours(metadata: Any) -> bool:
    flavor = metadata.flavors.get("python_function") or {}
    return bool(flavor.get("loader_module") == LOADER)


def _with_inputs(data: Any) -> Any:
    """A body with its rows as ``inputs``. Requests of the OpenAI API, and bodies that are no JSON object, go to MLflow.

    Raises MlflowException for a body that does not have its rows in one form.
    """
    from mlflow.pyfunc.scoring_server import is_unified_llm_input

    try:
        body = json.loads(data) if isinstance(data, str | bytes) else data
    except ValueError:
        return data
    if not isinstance(body, dict) or is_unified_llm_input(body):
        return data
    try:
        form = scoring_requests.form_of(body)
        rows = FORMS[form](body[form])
    except InputError as error:
        raise _refusal(str(error)) from error
    return {"inputs": rows, **{key: value for key, value in body.items() if key != form}}


def _as_sent(value: Any) -> Any:
    return value


def _split(value: Any) -> Any:
    scoring_requests.check_split(value)
    if not value["data"] and not value.get("columns"):
        return []
    return _frame(SPLIT, **value)


def _records(value: Any) -> Any:
    scoring_requests.check_records(value)
    return _frame(RECORDS, data=value) if value else []


def _frame(form: str, **parts: Any) -> Any:
    """A data frame whose cells are as they were sent: its columns get no types."""
    import pandas as pd

    try:
        return pd.DataFrame(**parts, dtype=object)
    except (ValueError, TypeError, AssertionError) as error:
        raise _refusal(f"{form} is not a table: {error}") from error


FORMS = MappingProxyType({SPLIT: _split, RECORDS: _records, INSTANCES: _as_sent, INPUTS: _as_sent})


def _table(data: bytes | str, signature: Any) -> Any:
    """The data frame of a CSV body: a cell is text unless the signature says a number or a boolean; an empty cell is a
    missing value, and no other text is.
    """
    import pandas as pd

    types = {column.name: CSV_TYPES.get(_name(column.type)) for column in signature.inputs}
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        header = pd.read_csv(StringIO(text), nrows=0).columns
        kinds = {name: types.get(name) or object for name in header}
        return pd.read_csv(StringIO(text), dtype=kinds, keep_default_na=False, na_values=[""])
    except (ValueError, TypeError) as error:
        raise _refusal(f"The body is not a table as CSV with a header: {error}") from error


def _name(kind: Any) -> str:
    """MLflow's name for a plain type of a column; empty for any other."""
    return str(getattr(kind, "name", ""))


def _refusal(message: str) -> Exception:
    from mlflow.exceptions import MlflowException

    refusal: Exception = MlflowException.invalid_parameter_value(message)
    return refusal
