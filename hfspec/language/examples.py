"""The rules of ``input_example`` and ``golden``: input that the task takes, params that predict would take, an output
that an answer can equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.signature import Column, Param, Signature
from hfspec.ir.tree import Tree
from hfspec.language.draft import Draft, DraftGolden
from hfspec.language.params import type_of
from hfspec.tasks.prompt_template import input_columns, prompt_template
from hfspec.tasks.task import Task

LONGEST = 80


def problems(draft: Draft) -> Iterator[Problem]:
    """Check the examples.

    Args:
        draft: The spec, as its rules read it.

    Returns:
        Every rule that the examples break; what their shape breaks is left to the schema.
    """
    example = draft.tree.at(("input_example",))
    if example is not None:
        yield from _input(draft, ("input_example",), example)
    for golden in draft.goldens:
        yield from _golden(draft, ("golden", golden.index), golden)


def _golden(draft: Draft, path: KeyPath, golden: DraftGolden) -> Iterator[Problem]:
    tree = draft.tree
    yield from _input(draft, (*path, "input"), golden.input)
    if golden.params and draft.task is not None:
        yield from _params(draft, draft.task, path, golden.params)
    if golden.output is None:
        message = "A golden example needs an output to compare with."
        remedy = "Write the answer, as `hfspec predict DIR --as-golden` prints it, or remove the example."
        yield Problem("golden-output", message, tree.origin((*path, "output")), (*path, "output"), remedy=remedy)
    elif isinstance(golden.tolerance, int | float) and not isinstance(golden.tolerance, bool):
        numbers = [abs(number) for number in _numbers(golden.output)]
        yield from _tolerance(tree, (*path, "tolerance"), golden.tolerance, numbers)


def _input(draft: Draft, path: KeyPath, value: Any) -> Iterator[Problem]:
    fault = _input_fault(draft, draft.task, value) if draft.task is not None else ""
    if fault:
        message = f"The task {draft.task.name if draft.task else ''} does not take this input: {fault}"
        text = json.dumps(thaw(value), ensure_ascii=False, default=str)[:LONGEST]
        yield Problem("example-input", message, draft.tree.origin(path), path, found=text)


def _input_fault(draft: Draft, task: Task, value: Any) -> str:
    """Why the task would refuse the value whatever the checkpoint; empty when that cannot be told from the spec."""
    columns = _columns(draft, task)
    if columns is None:
        return ""
    try:
        _reader(task, columns, draft.prompt_template)(thaw(value))
    except InputError as error:
        return str(error)
    return ""


def _reader(task: Task, columns: tuple[Column, ...], template: str | None) -> Callable[[Any], object]:
    """The function that reads the task's input into rows, as far as that needs no checkpoint."""
    from hfspec.inputs.conversations import among_prompts, to_conversations
    from hfspec.inputs.openai_requests import to_requests
    from hfspec.inputs.rows import Columns, to_rows

    if task.name.startswith("llm/"):
        return lambda data: to_requests(data, str(task.inputs[0].name))
    if task.inputs[0].name == "messages":
        return to_conversations
    names = Columns(task, columns, template)
    return lambda data: (among_prompts(data, names) if task.prompt else None) or to_rows(data, names)


def _columns(draft: Draft, task: Task) -> tuple[Column, ...] | None:
    """The input's columns: the spec's, or the task's; None where the spec's cannot be read."""
    try:
        if draft.prompt_template is not None:
            prompt_template(draft.prompt_template)
    except ValueError:
        return None
    if not draft.has("signature", "inputs"):
        return input_columns(task, draft.prompt_template)
    if draft.inputs is None or any(column.type is None for column in draft.inputs):
        return None
    return tuple(Column(column.type, column.name, column.is_required) for column in draft.inputs)


def _params(draft: Draft, task: Task, path: KeyPath, params: Mapping[str, Any]) -> Iterator[Problem]:
    from hfspec.settings.precedence import predict_layer

    signature = _signature(draft)
    for name, value in params.items():
        try:
            predict_layer({name: thaw(value)}, task, signature, set(draft.settings))
        except ParamsError as error:
            place: KeyPath = (*path, "params", name)
            message = str(error)[0].upper() + str(error)[1:]
            yield Problem("golden-params", message, draft.tree.origin(place), place)


def _signature(draft: Draft) -> Signature:
    """The params that the spec declares, those left out that are wrong themselves."""
    params = []
    for name, param in draft.params.items():
        if kind := param.type or type_of(param.default):
            params.append(Param(name, kind, param.default, param.minimum, param.maximum, param.choices))
    return Signature((), (), tuple(params))


def _tolerance(tree: Tree, path: KeyPath, tolerance: float, numbers: list[float]) -> Iterator[Problem]:
    origin = tree.origin(path)
    if not numbers:
        message = "A tolerance has no effect where the output holds no number."
        yield Problem("dead-key", message, origin, path, remedy="Remove it.")
    elif tolerance >= max(numbers) > 0:
        message = "The tolerance is as large as the output's greatest number, so an answer of zeros would pass."
        yield Problem(
            "golden-tolerance", message, origin, path, expected=f"less than {max(numbers):g}", found=f"{tolerance:g}"
        )


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = tuple(value.values())
    for item in value if isinstance(value, tuple) else ():
        yield from _numbers(item)
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
