"""Requests of the OpenAI API: any form of input as requests, one a row, and each one's keys checked.

A request is a mapping. Its first key's value alone is a request too: a text, a list of messages for chat, a list of
texts for the others. A list of requests, a Series of them or a DataFrame with the keys as columns is several; an empty
list is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.inputs.cells import found, is_missing
from hfspec.inputs.frames import is_frame, is_series
from hfspec.inputs.row import Row
from hfspec.ir.signature import Signature
from hfspec.settings.precedence import Settings, param_value
from hfspec.tasks import openai
from hfspec.tasks.task import Task

# Keys and params that are another setting, later ones before earlier ones where a request gives several.
STANDS_FOR = MappingProxyType(
    {"max_new_tokens": "max_tokens", "max_completion_tokens": "max_tokens", "dimensions": "truncate_dim"}
)


@dataclass(frozen=True, slots=True)
class Request:
    """A request that has been checked. ``values``: the keys it gives; ``settings``: those in force, its own over the
    call's. ``single``: it came by itself, in no list.
    """

    row: int
    single: bool
    values: Mapping[str, Any]
    settings: Settings

    @property
    def streams(self) -> bool:
        return self.values.get("stream") is True

    @property
    def tells_usage(self) -> bool:
        """Whether a stream ends with a chunk of the usage."""
        return bool((self.values.get("stream_options") or {}).get("include_usage"))


def to_requests(data: Any, main: str) -> list[Row]:
    """The requests, numbered from 0; ``main``: the key that a bare value fills. Raises InputError naming the row."""
    if is_frame(data):
        records = data.to_dict(orient="records")
        return [
            Row(number, {str(key): _plain(value) for key, value in row.items()}) for number, row in enumerate(records)
        ]
    if is_series(data):
        data = data.tolist()
    elif isinstance(data, Mapping) or _is_bare(data, main):
        return [_row(0, data, main, single=True)]
    if not isinstance(data, list | tuple):
        raise InputError(f"expected a request (a mapping with {main}) or a list of requests; found {found(data)}.")
    return [_row(number, item, main) for number, item in enumerate(data)]


def _row(number: int, item: Any, main: str, *, single: bool = False) -> Row:
    if isinstance(item, Mapping):
        return Row(number, {str(key): value for key, value in item.items()}, single)
    if _is_bare(item, main):
        return Row(number, {main: item}, single)
    raise InputError(f"expected a request (a mapping with {main}), found {found(item)}.", row=number)


def _is_bare(value: Any, main: str) -> bool:
    """Whether this is the value of a request's first key: a text, messages, or texts where these are no messages."""
    if isinstance(value, str):
        return True
    if not isinstance(value, list | tuple) or not value:
        return False
    if main == "messages":
        return all(isinstance(item, Mapping) and not item.keys().isdisjoint({"role", "content"}) for item in value)
    return all(isinstance(item, str) for item in value)


def checked(row: Row, settings: Settings, task: Task, signature: Signature) -> Request:
    """The row as a request.

    Raises InputError naming the row: a key that is missing, unknown, refused or of a wrong value.
    """
    values = {key: value for key, value in row.values.items() if not is_missing(value)}
    main = str(task.inputs[0].name)
    params = {param.name: param for param in signature.params}
    keys = [str(column.name) for column in task.inputs] + [name for name in params if task.setting(name)]
    for key, value in values.items():
        _check_key(key, value, keys, row.number)
    if main not in values:
        raise InputError(f"the request has no {main}, or gives it as null.", row.number, main)
    own = {STANDS_FOR.get(key, key): _setting(key, values, task, row.number) for key in _in_order(values, task)}
    for name, param in params.items():
        if STANDS_FOR.get(name, name) in own:
            _within(param, own[STANDS_FOR.get(name, name)], row.number)
    _check_stream(values, row)
    return Request(row.number, row.single, values, settings.over(own))


def _check_key(key: str, value: Any, keys: Sequence[str], row: int) -> None:
    if key in openai.REFUSED and key not in keys and value not in openai.REFUSED[key]:
        raise InputError(f"{key} is not supported; leave it out of the request.", row, key)
    if key in keys or key in openai.REFUSED or key in openai.WITHOUT_EFFECT:
        return
    near = get_close_matches(key, keys, n=1, cutoff=0.5)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    raise InputError(f"the request has no key {key!r}{hint}; its keys are: {', '.join(sorted(keys))}.", row, key)


def _in_order(values: Mapping[str, Any], task: Task) -> list[str]:
    """The keys that are settings, in the order in which a later one is laid over an earlier one."""
    order = list(STANDS_FOR)
    keys = [key for key in values if task.setting(STANDS_FOR.get(key, key)) is not None]
    return sorted(keys, key=lambda key: order.index(key) if key in STANDS_FOR else -1)


def _setting(key: str, values: Mapping[str, Any], task: Task, row: int) -> Any:
    value = values[key]
    setting = task.setting(STANDS_FOR.get(key, key))
    assert setting is not None
    if fault := setting.fault(value):
        raise InputError(f"{key}: expected {fault}; found {found(value)}.", row, key)
    return int(value) if isinstance(value, float) and "integer" in setting.types else value


def _within(param: Any, value: Any, row: int) -> None:
    """Raises InputError when the value is outside the limits that the deployment declares for it."""
    try:
        param_value(param, value, None)
    except ParamsError as error:
        raise InputError(str(error), row, error.key) from error


def check_flag(key: str, value: Any, row: int) -> None:
    """Raises InputError naming the row when a key's value is neither true nor false."""
    if not isinstance(value, bool):
        raise InputError(f"{key}: expected true or false; found {found(value)}.", row, key)


def texts_of(request: Request, key: str, noun: str) -> list[Any]:
    """The values of a key that holds a text or a list of texts.

    Args:
        request: The request.
        key: The key.
        noun: What a message calls the texts.

    Returns:
        The values, none of them tokens.

    Raises:
        InputError: The list is empty, or holds tokens.
    """
    value = request.values[key]
    values = list(value) if isinstance(value, list | tuple) else [value]
    if not values:
        raise InputError(f"{key}: the list has no {noun}; give at least one.", request.row, key)
    if any(isinstance(one, int | list | tuple) for one in values):
        raise InputError(f"{key}: tokens are not taken, only text or a list of texts.", request.row, key)
    return values


def _check_stream(values: Mapping[str, Any], row: Row) -> None:
    stream, options = values.get("stream", False), values.get("stream_options", {})
    check_flag("stream", stream, row.number)
    if not isinstance(options, Mapping):
        raise InputError(f"stream_options: expected a mapping; found {found(options)}.", row.number, "stream_options")
    if stream and not row.single:
        raise InputError("a streamed request must come alone, not in a list.", row.number, "stream")


def _plain(value: Any) -> Any:
    """A cell as Python's own value."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return value
