"""Any form of input as conversations, one a row.

A conversation is a list of messages; a text is one of a single user message. Accepted: a conversation, a list of them,
a mapping with ``messages``, a list of such mappings, a pandas Series of conversations, a DataFrame with a column
``messages`` (or with one column, whatever its name). A list whose items all are messages is one conversation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.errors import InputError
from hfspec.inputs.cells import found, misspelt
from hfspec.inputs.frames import is_frame, is_series
from hfspec.inputs.row import Row
from hfspec.inputs.rows import Columns

MESSAGES = "messages"
FORMS = (
    "a text, a list of messages (each with role and content), a list of these, a mapping or a DataFrame with the column"
    " messages"
)


def is_conversation(value: Any) -> bool:
    """Whether this is a list of messages."""
    return isinstance(value, list | tuple) and bool(value) and all(_is_message(item) for item in value)


def to_conversations(data: Any) -> list[Row]:
    """The rows of a task that takes conversations, numbered from 0; raises InputError."""
    values = listed(data, MESSAGES)
    if values is not None:
        return [_row(number, value) for number, value in enumerate(values)]
    if isinstance(data, str):
        return [Row(0, {MESSAGES: data})]
    if isinstance(data, Mapping):
        return _mapping(data)
    if not isinstance(data, list | tuple):
        raise InputError(f"expected {FORMS}; found {found(data)}.")
    if data and all(isinstance(item, Mapping) and MESSAGES not in item for item in data):
        return [Row(0, {MESSAGES: data})]
    return [_row(number, item) for number, item in enumerate(data)]


def among_prompts(data: Any, columns: Columns) -> list[Row] | None:
    """The rows of a task that takes prompts, under these columns, when at least one of them is a conversation; None
    when none is.
    """
    if is_conversation(data):
        return [Row(0, {MESSAGES: data})]
    if isinstance(data, Mapping) or is_frame(data):
        return to_conversations(data) if _names_messages(data, columns) else None
    values = data.tolist() if is_series(data) else data
    if not isinstance(values, list | tuple) or not any(_holds_messages(item, columns) for item in values):
        return None
    return [_prompt_or_messages(number, item, columns) for number, item in enumerate(values)]


def _names_messages(data: Any, columns: Columns) -> bool:
    return MESSAGES in data and not any(name in data for name in columns.names)


def _holds_messages(item: Any, columns: Columns) -> bool:
    return is_conversation(item) or (isinstance(item, Mapping) and _names_messages(item, columns))


def _prompt_or_messages(number: int, item: Any, columns: Columns) -> Row:
    if _holds_messages(item, columns):
        return _row(number, item)
    return columns.row(number, item) if isinstance(item, Mapping) else columns.bare(number, item)


def listed(data: Any, column: str) -> list[Any] | None:
    """The values of a Series, or of a DataFrame's column of this name; None when the data is neither.

    Raises InputError when the frame has no such column and more than one.
    """
    if is_series(data):
        return list(data.tolist())
    if not is_frame(data):
        return None
    names = list(data.columns)
    if column not in names and len(names) != 1:
        raise InputError(_missing(column, names))
    return list(data[column if column in names else names[0]].tolist())


def _mapping(data: Mapping[Any, Any]) -> list[Row]:
    if MESSAGES not in data:
        raise InputError(_missing(MESSAGES, list(data)), row=0)
    value = data[MESSAGES]
    if isinstance(value, list | tuple) and value and all(isinstance(item, list | tuple | str) for item in value):
        return [Row(number, {MESSAGES: item}) for number, item in enumerate(value)]
    return [Row(0, {MESSAGES: value})]


def _row(number: int, item: Any) -> Row:
    if not isinstance(item, Mapping):
        return Row(number, {MESSAGES: item})
    if MESSAGES not in item:
        raise InputError(_missing(MESSAGES, list(item)), row=number)
    return Row(number, {MESSAGES: item[MESSAGES]})


def _missing(name: str, names: Sequence[Any]) -> str:
    text = ", ".join(repr(other) for other in names) or "none"
    return f"{name!r} is missing; given are {text}{misspelt(name, names)}."


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and "role" in value and ("content" in value or "tool_calls" in value)
