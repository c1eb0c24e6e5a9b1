"""Rules of a spec beyond its shape: over more than one key, and over what tasks are.

Each rule looks at plain values and leaves alone what the shape already refuses, so that all problems come at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from hfspec.ir.patterns import NAME_PATTERN
from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.language import backends, conversion, examples, licences, params, task_names, weight_formats
from hfspec.language.composed import component_names
from hfspec.language.draft import Draft, DraftColumn, draft
from hfspec.language.provenance import MISSING
from hfspec.tasks import table
from hfspec.tasks.endpoints import PROTOCOLS, fits, fitting
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.prompt_template import prompt_template
from hfspec.tasks.task import PROCESSOR, Task

# Words of from_pretrained that are no options of what it makes.
HOW_TO_LOAD = frozenset(
    [
        "cache_dir",
        "code_revision",
        "force_download",
        "local_files_only",
        "revision",
        "subfolder",
        "token",
        "trust_remote_code",
    ]
)
FREE_FORM = ("input_example", "golden", "metadata")


def problems(tree: Tree) -> Iterator[Problem]:
    """Check the rules over more than one key.

    Args:
        tree: The document.

    Returns:
        Every rule that it breaks.
    """
    document = draft(tree)
    yield from _task_problems(document)
    yield from _names(document)
    yield from mandatory(tree, tree.value, free=FREE_FORM)
    yield from _components(document)
    yield from _template(document)
    yield from _pooling(document)
    yield from _outputs(document)
    yield from _runtime(document)
    yield from backends.problems(document)
    yield from weight_formats.problems(document)
    yield from _serving(document)
    yield from _saving(document)
    yield from _folder(document)
    yield from conversion.problems(document)
    yield from params.problems(document)
    yield from examples.problems(document)
    yield from licences.problems(document)


def _task_problems(document: Draft) -> Iterator[Problem]:
    tree, library, name = document.tree, document.library, document.task_name
    if document.task is not None or not name:
        return
    if library is None or library not in LIBRARIES:
        yield from _task_of_no_library(tree, name)
        return
    nearest = "" if table.libraries(name) else task_names.meant(name, library)
    meant = name if table.libraries(name) else nearest or task_names.meant(name, None)
    elsewhere = table.libraries(meant) if meant and not nearest else ()
    known_as = "It is a task" if meant == name else f"The task {meant} is one"
    remedy = f"{known_as} of the library {elsewhere[0]}." if elsewhere else ""
    yield Problem(
        "unknown-task",
        f"The library {library} has no task {name!r}.",
        tree.origin(("task",)),
        ("task",),
        expected=one_of(table.names(library)),
        found=name,
        nearest=nearest,
        remedy=remedy,
    )


def _task_of_no_library(tree: Tree, name: str) -> Iterator[Problem]:
    """Where the library itself is wrong or missing: a task that no library has."""
    if table.libraries(name):
        return
    names = tuple(dict.fromkeys(names for library in LIBRARIES for names in table.names(library)))
    path = ("task",)
    yield Problem(
        "unknown-task",
        f"No library has a task {name!r}.",
        tree.origin(path),
        path,
        expected=one_of(names),
        found=name,
        nearest=task_names.meant(name, None),
    )


def _components(document: Draft) -> Iterator[Problem]:
    tree, task = document.tree, document.task
    if task is None:
        return
    names = [name for name in document.options if name in component_names()]
    yield from _reserved(document, names)
    for name in names:
        if name not in task.replaceable:
            path: KeyPath = ("components", name)
            message = f"The task {task.name} uses no {name.replace('_', ' ')}."
            if document.has("convert"):
                message = "The converted model has the parts of its own checkpoint."
            expected = one_of(task.replaceable) if task.replaceable else ""
            yield Problem("dead-key", message, tree.origin(path), path, expected=expected, remedy="Remove it.")
    parts = [name for name in names if name in task.components]
    if PROCESSOR in names and PROCESSOR in task.replaceable and parts:
        path = ("components", PROCESSOR)
        message = f"The processor brings its own {' and '.join(parts).replace('_', ' ')}, given here as well."
        remedy = f"Keep `{PROCESSOR}`, or give {' and '.join(f'`{name}`' for name in task.components)} instead."
        yield Problem("conflict", message, tree.origin(path), path, remedy=remedy)


def _reserved(document: Draft, names: list[str]) -> Iterator[Problem]:
    for name in names:
        for option in sorted(HOW_TO_LOAD & set(document.options[name])):
            path: KeyPath = ("components", name, "options", option)
            message = f"`{option}` says how a component is fetched, which is not among its own options."
            yield Problem("dead-key", message, document.tree.origin(path), path, remedy="Remove it.")


def _names(document: Draft) -> Iterator[Problem]:
    tree, stem = document.tree, PurePath(document.tree.file).stem
    if not document.has("name") and not re.fullmatch(NAME_PATTERN, stem):
        message = f"The file's name {stem!r} cannot be the deployment's name."
        remedy = "Write `name:` with letters, digits, dots, dashes and underscores."
        yield Problem("missing-key", message, tree.origin(()), ("name",), found=stem, remedy=remedy)


def mandatory(tree: Tree, value: Any, path: KeyPath = (), free: Collection[str] = ()) -> Iterator[Problem]:
    """Find each ``???`` that is left in a document.

    Args:
        tree: The document.
        value: The part of it to look in.
        path: The path of ``value``.
        free: The keys of the top level below which ``???`` may be left.

    Yields:
        A problem for each.
    """
    if value == MISSING and isinstance(value, str):
        message = "A value is asked for here (`???`) and none was given."
        remedy = f"Write it, or give `{'.'.join(map(str, path))}=…` on the command line."
        yield Problem("missing-value", message, tree.origin(path), path, found=MISSING, remedy=remedy)
    if isinstance(value, Mapping):
        for key, item in value.items():
            if path or key not in free:
                yield from mandatory(tree, item, (*path, key))


def _template(document: Draft) -> Iterator[Problem]:
    tree, task, template = document.tree, document.task, document.prompt_template
    path = ("prompt_template",)
    if template is None:
        return
    if task is not None and not task.prompt:
        message = f"A prompt template has no effect on the task {task.name}, whose input is not a prompt."
        yield Problem("dead-key", message, tree.origin(path), path, remedy="Remove it.")
    try:
        slots = prompt_template(template).slots
    except ValueError as fault:
        remedy = "Write a slot as `{prompt}`; a brace that is meant literally is written twice, `{{` or `}}`."
        yield Problem("prompt-template", str(fault), tree.origin(path), path, found=template[:80], remedy=remedy)
        return
    if task is not None and task.prompt:
        yield from _slots(document, task, slots)


def _pooling(document: Draft) -> Iterator[Problem]:
    tree, task, path = document.tree, document.task, ("pooling",)
    if document.has("pooling") and task is not None and task.kind != "dense":
        message = f"The task {task.name} of {task.library} makes no embedding of a text."
        yield Problem("dead-key", message, tree.origin(path), path, remedy="Remove it.")


def _slots(document: Draft, task: Task, slots: tuple[str, ...]) -> Iterator[Problem]:
    """Whether the input has a text for each slot."""
    tree = document.tree
    path: KeyPath = ("prompt_template",)
    if len(slots) > 1 and task.inputs[0].type != "string":
        message = f"The template has the slots {', '.join(slots)}; the task {task.name} has one text to fill."
        yield Problem("prompt-template", message, tree.origin(path), path, remedy="Keep one slot.")
    if "messages" in slots:
        message = "The slot `messages` has a name that is reserved for conversations."
        yield Problem("prompt-template", message, tree.origin(path), path, remedy="Give it another name.")
    if document.inputs is None:
        return
    types = {column.name: column.type for column in document.inputs}
    place: KeyPath = ("signature", "inputs")
    for slot in slots if len(slots) > 1 else ():
        if slot not in types:
            message = f"The template has the slot `{slot}`, and no column of the input has that name."
            yield Problem("prompt-template", message, tree.origin(place), place, remedy=f"Add `name: {slot}`.")
        elif types[slot] != "string":
            message = f"The column {slot} fills a slot of the template, which takes text."
            yield Problem(
                "prompt-template", message, tree.origin(place), place, expected="string", found=str(types[slot])
            )


def _runtime(document: Draft) -> Iterator[Problem]:
    tree = document.tree
    path: KeyPath = ("runtime", "compute_dtype")
    if document.compute_dtype == "auto" and document.task is not None and document.task.embeds:
        message = "`auto` goes by the processor, and embeddings computed in another dtype are another space."
        remedy = "Name the dtype, such as `compute_dtype: float32`, or remove it."
        yield Problem("conflict", message, tree.origin(path), path, found="auto", remedy=remedy)
    if not document.has("runtime", "device_map"):
        return
    path = ("runtime", "device_map")
    if document.has("runtime", "device"):
        message = "`device` puts the model on one device, and `device_map` spreads it over several."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Keep `device` or `device_map`.")
    library = LIBRARIES.get(document.task.library if document.task else document.library or "")
    if library is not None and not library.spreads:
        message = f"The library {library.name} puts a model on one device."
        yield Problem("dead-key", message, tree.origin(path), path, remedy="Write `device:` instead.")


def _outputs(document: Draft) -> Iterator[Problem]:
    path: KeyPath = ("signature", "output_tensor")
    if document.has("signature", "outputs") and document.has("signature", "output_tensor"):
        message = "The output is given twice, as columns and as an array."
        origin = document.tree.origin(path)
        yield Problem("conflict", message, origin, path, remedy="Keep `outputs` or `output_tensor`.")
    for side, columns in (("inputs", document.inputs), ("outputs", document.outputs)):
        yield from _columns(document.tree, ("signature", side), columns or ())


def _serving(document: Draft) -> Iterator[Problem]:
    tree, task = document.tree, document.task
    endpoints = tree.at(("serving", "endpoints"))
    for index, endpoint in enumerate(endpoints if task is not None and isinstance(endpoints, tuple) else ()):
        if task is not None and endpoint in PROTOCOLS and not fits(endpoint, task.library, task.name):
            path: KeyPath = ("serving", "endpoints", index)
            message = f"The protocol {endpoint} cannot ask the task {task.name}."
            expected = one_of(fitting(task.library, task.name))
            yield Problem("endpoint", message, tree.origin(path), path, expected=expected, found=endpoint)


def _saving(document: Draft) -> Iterator[Problem]:
    if document.merges and document.tree.at(("save_mode",)) == "reference":
        path: KeyPath = ("adapter", "merge")
        message = "Merged weights are new weights, which no reference to the model's source can stand for."
        remedy = "Keep `merge: true` with `save_mode: full`, or the reference with `merge: false`."
        yield Problem("conflict", message, document.tree.origin(path), path, remedy=remedy)


def _folder(document: Draft) -> Iterator[Problem]:
    tree, path = document.tree, ("model", "folder")
    library = LIBRARIES.get(document.library or "")
    is_reference = tree.at(("save_mode",)) == "reference"
    if library is not None and is_reference and not library.keeps_folder and document.has("model", "folder"):
        message = "A reference names weights at the top of their source, and these are in a folder of it."
        remedy = "Write `save_mode: full`, or name a source that is the checkpoint alone."
        yield Problem("conflict", message, tree.origin(path), path, remedy=remedy)


def _columns(tree: Tree, path: KeyPath, columns: tuple[DraftColumn, ...]) -> Iterator[Problem]:
    names: set[Any] = set()
    for index, column in enumerate(columns):
        name, place = column.name, (*path, index)
        if name is None and len(columns) > 1:
            message = "A column has no name, and there is more than one."
            yield Problem("missing-key", message, tree.origin(place), (*place, "name"), remedy="Name it.")
        elif isinstance(name, str) and name in names:
            message = f"Two columns have the name {name!r}."
            yield Problem("conflict", message, tree.origin((*place, "name")), (*place, "name"), remedy="Rename one.")
        names.add(name if isinstance(name, str) else None)
