"""The check, by one plain input of the task, that an artifact without an example of its own can answer requests."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.errors import HfspecError, OutputError
from hfspec.ir.frozen import thaw
from hfspec.ir.golden import Fault
from hfspec.runtime.golden.plain_answer import plain_answer
from hfspec.runtime.predictor import Predictor

TEXT = "One short text."
SHORT = 2  # tokens to generate
FEW = {"max_new_tokens": SHORT, "min_new_tokens": 0, "min_length": 0}
MASK = "{mask_token}"
# Errors of a model wherever it runs. Others, as RuntimeError, may be of this machine: no kernel for a dtype, no GPU.
ANYWHERE = (AttributeError, LookupError, TypeError, ValueError)


def probe_lines(predictor: Predictor) -> Iterator[str]:
    """The reason why the predictor answers no plain input of its task, as one line of JSON in the form of failed
    examples.

    An input that the predictor refuses says nothing of others, and a lack of this machine alone is no fault.
    """
    reason = probe_fault(predictor)
    faults = [Fault(None, reason)] if reason else []
    yield json.dumps([fault.to_json() for fault in faults], ensure_ascii=False, allow_nan=False)


def probe_fault(predictor: Predictor) -> str:
    """The reason why the predictor can answer no request; empty where it answers one, or where nobody can tell."""
    row = plain_row(predictor)
    if _answers(predictor, *_short(predictor, row)):
        return ""
    try:
        plain_answer(predictor, [row], None)
    except OutputError as error:
        return str(error)
    except HfspecError:
        return ""
    except ANYWHERE as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    except Exception:  # noqa: BLE001 - of this machine: the artifact is for another
        return ""
    return ""


def model_fault(predictor: Predictor) -> str:
    """The fault of the model or of the device over a plain input of the task, which is neither an answer nor a refusal;
    empty where there is none.
    """
    row, few = _short(predictor, plain_row(predictor))
    try:
        plain_answer(predictor, [row], None, protocol=few)
    except HfspecError:
        return ""
    except Exception as error:  # noqa: BLE001 - a device that has failed may raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
    return ""


def _short(predictor: Predictor, row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row and the settings for an answer of few tokens, where the task generates any."""
    if any(column.name == "max_tokens" for column in predictor.task.inputs):
        return {**row, "max_tokens": SHORT}, {}
    names = FEW if predictor.task.setting("max_new_tokens") else ()
    return row, {name: FEW[name] for name in names if predictor.task.setting(name)}


def _answers(predictor: Predictor, row: Any, few: Mapping[str, Any]) -> bool:
    """Whether there is an answer of few tokens, whatever params the signature declares; settings may not allow it."""
    with contextlib.suppress(Exception):
        plain_answer(predictor, [row], None, protocol=few)
        return True
    return False


def plain_row(predictor: Predictor) -> dict[str, Any]:
    """A value for each column that a row must have, and for the first of the task's own that it may have."""
    inputs = predictor.signature.inputs
    columns = inputs if isinstance(inputs, tuple) else predictor.task.inputs
    needed = {column.name or "text" for column in columns if column.required}
    optional = {column.name for column in columns} - needed
    needed |= set([name for name in predictor.task.trial_row if name in optional][:1])
    return {name: _value(predictor, name) for name in sorted(needed)}


def _value(predictor: Predictor, name: str) -> Any:
    if name == "audio":
        return {"array": [((place % 40) - 20) / 40 for place in range(16_000)], "sampling_rate": 16_000}
    if name == "image":
        import numpy as np

        return (np.arange(32 * 32 * 3) % 251).astype(np.uint8).reshape(32, 32, 3)
    value = thaw(predictor.task.trial_row.get(name, TEXT))
    if isinstance(value, str) and MASK in value:
        return value.replace(MASK, predictor.components()["tokenizer"].mask_token)
    return value
