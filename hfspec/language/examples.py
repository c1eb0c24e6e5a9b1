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
from hfspec.language.params import type_of
from hfspec.tasks.prompt_template import input_columns, prompt_template
from hfspec.tasks.task import Task

LONGEST = 80


def problems(tree: Tree, task: Task | None) -> Iterator[Problem]:
    """Every rule that the examples break; what their shape breaks is left to the schema."""
    example, golden = tree.value.get("input_example"), tree.value.get("golden")
    if example is not None:
        yield from _input(tree, task, ("input_example",), example)
    for place, one in enumerate(golden if isinstance(golden, tuple) else ()):
        if isinstance(one, Mapping) and {"input", "output"} <= set(one):
            yield from _golden(tree, task, ("golden", place), one)


def _golden(tree: Tree, task: Task | None, path: KeyPath, golden: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _input(tree, task, (*path, "input"), golden["input"])
    params, output, tolerance = golden.get("params"), golden["output"], golden.get("tolerance")
    if isinstance(params, Mapping) and params and task is not None:
        yield from _params(tree, task, path, params)
    if output is None:
        message = "A golden example needs an output to compare with."
        remedy = "Write the answer, as `hfspec predict DIR --as-golden` prints it, or remove the example."
        yield Problem("golden-output", message, tree.origin((*path, "output")), (*path, "output"), remedy=remedy)
    elif isinstance(tolerance, int | float) and not isinstance(tolerance, bool):
        yield from _tolerance(tree, (*path, "tolerance"), tolerance, [abs(number) for number in _numbers(output)])


def _input(tree: Tree, task: Task | None, path: KeyPath, value: Any) -> Iterator[Problem]:
    fault = _input_fault(tree, task, value) if task is not None else ""
    if fault:
        message = f"The task {task.name if task else ''} does not take this input: {fault}"
        found = json.dumps(thaw(value), ensure_ascii=False, default=str)[:LONGEST]
        yield Problem("example-input", message, tree.origin(path), path, found=found)


def _input_fault(tree: Tree, task: Task, value: Any) -> str:
    """Why the task would refuse the value whatever the checkpoint; empty when that cannot be told from the spec."""
    columns = _columns(tree, task)
    if columns is None:
        return ""
    try:
        template = tree.value.get("prompt_template")
        _reader(task, columns, template if isinstance(template, str) else None)(thaw(value))
    except InputError as error:
        return str(error)
    return ""


def _reader(task: Task, columns: tuple[Column, ...], template: str | None) -> Callable[[Any], object]:
    """What reads the task's input into rows, as far as that needs no checkpoint."""
    from hfspec.inputs.conversations import among_prompts, to_conversations
    from hfspec.inputs.openai_requests import to_requests
    from hfspec.inputs.rows import Columns, to_rows

    if task.name.startswith("llm/"):
        return lambda data: to_requests(data, str(task.inputs[0].name))
    if task.inputs[0].name == "messages":
        return to_conversations
    known = Columns(task, columns, template)
    return lambda data: (among_prompts(data, known) if task.prompt else None) or to_rows(data, known)


def _columns(tree: Tree, task: Task) -> tuple[Column, ...] | None:
    """The input's columns: the spec's, or the task's; None where the spec's cannot be read."""
    template, signature = tree.value.get("prompt_template"), tree.value.get("signature")
    try:
        slots = prompt_template(template) if isinstance(template, str) and template else None
    except ValueError:
        return None
    stated = signature.get("inputs") if isinstance(signature, Mapping) else None
    if stated is None:
        return input_columns(task, template if slots else None)
    if not isinstance(stated, tuple) or not all(isinstance(one, Mapping) and "type" in one for one in stated):
        return None
    return tuple(Column(one["type"], one.get("name"), one.get("required") is not False) for one in stated)


def _params(tree: Tree, task: Task, path: KeyPath, given: Mapping[str, Any]) -> Iterator[Problem]:
    from hfspec.settings.precedence import predict_layer

    declared = _declared(tree)
    inference = tree.value.get("model_config")
    fixed = set(inference) if isinstance(inference, Mapping) else set()
    for name, value in given.items():
        try:
            predict_layer({name: thaw(value)}, task, declared, fixed)
        except ParamsError as error:
            place: KeyPath = (*path, "params", name)
            yield Problem("golden-params", str(error)[0].upper() + str(error)[1:], tree.origin(place), place)


def _declared(tree: Tree) -> Signature:
    """The params that the spec declares, those left out that are wrong themselves."""
    signature = tree.value.get("signature")
    stated = signature.get("params") if isinstance(signature, Mapping) else None
    params = []
    for name, param in stated.items() if isinstance(stated, Mapping) else ():
        known = param if isinstance(param, Mapping) else {"default": param}
        kind = known.get("type") or type_of(known.get("default"))
        if kind:
            limits = (known.get("minimum"), known.get("maximum"), known.get("choices"))
            params.append(Param(name, kind, known.get("default"), *limits))
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
