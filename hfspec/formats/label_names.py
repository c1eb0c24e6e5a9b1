"""The names of a model's labels, as config.json states them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any


def label_name(value: Any) -> str | None:
    """A label as text: a number stands for its digits; None for what is no name."""
    if isinstance(value, str):
        return value
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return str(value) if is_number else None


def stated_labels(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of a config.json, by their numbers; the library's LABEL_0, LABEL_1, … where it names none, or another
    number of them than num_labels, which the library goes by.
    """
    labels = raw.get("id2label")
    if isinstance(labels, Mapping) and raw.get("num_labels") in {None, len(labels)} and not any(names_faults(labels)):
        by_number = {int(key): label_name(value) or "" for key, value in labels.items()}
        return tuple(by_number[number] for number in sorted(by_number))
    count = raw.get("num_labels", 2)
    return tuple(f"LABEL_{number}" for number in range(count if isinstance(count, int) else 2))


def label_names(config: Any) -> dict[int, str]:
    """Number -> name of each label of the library's ``config``."""
    return {number: label_name(value) or "" for number, value in config.id2label.items()}


def label_numbers(config: Any) -> dict[str, int]:
    """Name -> number, from ``label2id`` where the config states it, else from ``id2label``."""
    if config.label2id:
        return {str(name): int(number) for name, number in config.label2id.items()}
    return {name: number for number, name in label_names(config).items()}


def names_faults(labels: Any) -> Iterator[tuple[str, str]]:
    """The faults of a config's ``id2label``, each with the value at fault as it stands there; none where every
    label from 0 on has a name.
    """
    if labels is None:
        return
    if not isinstance(labels, Mapping) or not labels:
        yield "id2label names no labels", repr(labels)
        return
    numbers = {key: _number(key) for key in labels}
    unread = [key for key, number in numbers.items() if number is None]
    yield from (("a key of id2label is not a number", f"the key {key!r}") for key in unread)
    missing = sorted(set(range(len(labels))) - set(numbers.values()))
    if missing and not unread:
        keys = ", ".join(map(str, labels))
        yield f"id2label has no label {missing[0]}; the numbers of its labels must be 0 to {len(labels) - 1}", keys
    for key, value in labels.items():
        if label_name(value) is None:
            yield f"id2label.{key} is not a name of a label", repr(value)


def numbers_faults(labels: Any, count: int) -> Iterator[tuple[str, str]]:
    """The faults of a config's ``label2id`` for a model of ``count`` labels, in the form of ``names_faults``."""
    if not labels:
        return
    if not isinstance(labels, Mapping):
        yield "label2id is not a mapping of names to numbers", repr(labels)
        return
    for name, value in labels.items():
        number = _number(value)
        if number is None or not 0 <= number < count:
            yield f"label2id.{name} is not a number of a label; the model has the labels 0 to {count - 1}", repr(value)


def _number(value: Any) -> int | None:
    """The whole number that a key or a value is, as the library reads it."""
    try:
        return int(value) if isinstance(value, str | int) and not isinstance(value, bool) else None
    except ValueError:
        return None
