"""MLflow's scoring protocol: /invocations in all its forms, /ping, /health and /version.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

import hfspec
from hfspec.errors import InputError
from hfspec.inputs.scoring_requests import (
    INPUTS,
    INSTANCES,
    OPENAI_KEYS,
    RECORDS,
    SPLIT,
    check_records,
    form_of,
    records_of_split,
)
from hfspec.ir.signature import Tensor
from hfspec.serving.front.app import Endpoint
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import JSON, Exchange, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.protocols.native import count

CSV = "text/csv"
CODES = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    429: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def mlflow_error(error: RequestError, _: Exchange) -> Response:
    """An error as MLflow has it."""
    code = CODES.get(error.status, "BAD_REQUEST" if error.status < 500 else "INTERNAL_ERROR")
    return to_json({"error_code": code, "message": error.text}, error.status)


async def ping(exchange: Exchange) -> Response:
    """Whether every model answers."""
    is_ready = exchange.app.models.is_ready and not exchange.app.is_leaving
    return Response("\n", 200 if is_ready else 503, media_type=JSON)


async def version(_: Exchange) -> Response:
    """The version of hfspec, which answers in MLflow's place."""
    return Response(hfspec.__version__, media_type=JSON)


async def invocations(exchange: Exchange) -> Response:
    """The answer to rows in any form of the protocol, or to a request of the OpenAI API."""
    model = exchange.only()
    kind = exchange.content_type
    _check_parameters(exchange)
    if kind == CSV:
        rows = _named(_table(await exchange.body(), model), model)
        return to_json({"predictions": await exchange.answer(model, exchange.asking(rows, len(rows)))})
    if kind != JSON:
        raise RequestError(415, f"This predictor only supports the content types {CSV} and {JSON}; got {kind!r}.")
    body = await exchange.json_object()
    if not OPENAI_KEYS.isdisjoint(body):
        if body.get("stream") is True:
            raise RequestError(400, "/invocations does not stream; leave stream out, or ask /v1/chat/completions.")
        return to_json(await exchange.answer(model, exchange.asking(body, 1)))
    data = _data(body, model)
    params = body.get("params")
    if params is not None and not isinstance(params, dict):
        raise RequestError(400, "params must be an object.", "InputError")
    return to_json({"predictions": await exchange.answer(model, exchange.asking(data, count(data), params))})


def _data(body: Mapping[str, Any], model: Model) -> Any:
    """The rows of a body; raises RequestError."""
    try:
        form = form_of(body)
        return READERS[form](body[form], model)
    except InputError as error:
        raise RequestError(400, error.reason, "InputError") from error


def _split(value: Any, model: Model) -> Any:
    return _named(records_of_split(value), model)


def _records(value: Any, model: Model) -> Any:
    check_records(value)
    return _named(value, model)


def _as_sent(value: Any, _: Model) -> Any:
    return value


READERS: Mapping[str, Callable[[Any, Model], Any]] = MappingProxyType(
    {SPLIT: _split, RECORDS: _records, INSTANCES: _as_sent, INPUTS: _as_sent}
)


def _named(rows: list[dict[str, Any]], model: Model) -> list[Any]:
    """The rows of a table. Where it has one column, of a name that the model does not know, its cells alone: they fill
    the model's only required column.
    """
    inputs = model.manifest.signature.inputs
    columns = () if isinstance(inputs, Tensor) else inputs
    names = {column.name for column in columns}
    keys = {name for row in rows for name in row}
    required = [column.name for column in columns if column.required]
    if len(keys) == 1 and len(required) == 1 and not keys & names:
        (only,) = keys
        return [row.get(only) for row in rows]
    return rows


def _check_parameters(exchange: Exchange) -> None:
    """Raises RequestError for parameters of the content type other than charset=utf-8."""
    whole = exchange.headers.get(b"content-type", b"").decode("latin-1")
    for parameter in whole.split(";")[1:]:
        name, _, value = parameter.strip().partition("=")
        if name != "charset" or value.strip('"').lower() != "utf-8":
            raise RequestError(415, f"The scoring server supports charset=utf-8 only; got {parameter.strip()!r}.")


def _table(sent: bytes, model: Model) -> list[dict[str, Any]]:
    """The rows of a CSV body with a header: a cell is text unless the signature says a number or a boolean; an empty
    cell is missing. Raises RequestError.
    """
    try:
        lines = [line for line in csv.reader(StringIO(sent.decode("utf-8-sig")), strict=True) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _no_table(f" with a header: {error}") from error
    if not lines:
        raise _no_table(" with a header: it is empty")
    header, *rows = lines
    if len(set(header)) != len(header):
        raise _no_table(": columns have the same name")
    return list(_cells(header, rows, model))


def _no_table(fault: str) -> RequestError:
    return RequestError(400, f"The body is not a table as CSV{fault}.", "InputError")


def _cells(header: list[str], rows: list[list[str]], model: Model) -> Iterator[dict[str, Any]]:
    inputs = model.manifest.signature.inputs
    types = {} if isinstance(inputs, Tensor) else {column.name: column.type for column in inputs}
    for number, row in enumerate(rows):
        if len(row) > len(header):
            raise _no_table(f": row {number} has {len(row)} cells for {len(header)} columns")
        cells = dict(zip(header, [*row, *[""] * (len(header) - len(row))], strict=True))
        try:
            yield {name: CELLS.get(types.get(name, ""), _text)(cell) if cell else None for name, cell in cells.items()}
        except ValueError as error:
            raise _no_table(f": row {number}: {error}") from error


def _text(cell: str) -> Any:
    return cell


def _boolean(cell: str) -> bool:
    if cell.lower() in {"true", "false"}:
        return cell.lower() == "true"
    raise ValueError(f"{cell!r} is neither true nor false")


CELLS: Mapping[str, Callable[[str], Any]] = MappingProxyType(
    {"integer": int, "long": int, "float": float, "double": float, "boolean": _boolean}
)


ENDPOINTS = (
    Endpoint("POST", "/invocations", invocations, mlflow_error, "mlflow", summary="Rows in MLflow's forms"),
    Endpoint("GET", "/ping", ping, mlflow_error, "mlflow", scope="", summary="Whether every model answers"),
    Endpoint("GET", "/health", ping, mlflow_error, "mlflow", scope="", summary="Whether every model answers"),
    Endpoint("GET", "/version", version, mlflow_error, "mlflow", scope="", summary="hfspec's version"),
)
