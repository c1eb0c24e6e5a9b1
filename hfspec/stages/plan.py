"""Spec and pins in, every decision out: nothing is read but small files and headers, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import Any

from hfspec.checkpoint.adapters.adapter import adapter_steps
from hfspec.checkpoint.card import card, card_files, licence
from hfspec.checkpoint.config_rewrite import says, with_dtype, with_labels
from hfspec.checkpoint.examination import Examined, examine
from hfspec.checkpoint.golden import golden_examples, undetermined
from hfspec.checkpoint.licences import licence_problems, licences
from hfspec.checkpoint.requirements import requirement_lines, versions
from hfspec.checkpoint.sentences.embedding import answer_array, embedding_notes, embedding_problems, stated_settings
from hfspec.checkpoint.settings import (
    GENERATION_CONFIG,
    dead_settings,
    generation_settings,
    narrowed,
    own_defaults,
    setting_rows,
    task_params,
)
from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.source_files import SourceFiles, source_files
from hfspec.checkpoint.targets import target_problems
from hfspec.checkpoint.weights.references import carried, pointers, reference_problems
from hfspec.checkpoint.weights.saving import Saving, parameters, size_in_bytes, weight_bytes, weight_steps
from hfspec.checkpoint.weights.weight_files import is_copied, listed
from hfspec.errors import SpecError
from hfspec.ir.artifact import Deployment, SourceRecord, digest_of
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.pins import Resolved, portable
from hfspec.ir.plan import CopyFile, Plan, WriteBytes, WriteWeights
from hfspec.ir.spec import Spec, dump
from hfspec.ir.tree import Tree
from hfspec.tasks.table import find
from hfspec.tasks.task import Task

INDEXES = (".safetensors.index.json", ".bin.index.json")


def plan(spec: Spec, tree: Tree, resolved: Resolved) -> Plan:
    """What compiling ``spec`` will do.

    Raises SpecError with every problem of the checkpoint: a task its architecture cannot do, tensors that are missing
    or have another shape, a tokenizer that does not fit. Raises SourceError when a small file cannot be read.
    """
    task = find(spec.library, spec.task)
    model = source_files(tree, resolved, "model")
    assert task is not None, "validate lets no unknown task through"
    assert model is not None, "resolve pins a model"
    by_reference = spec.save_mode == "reference"
    if by_reference and (refused := tuple(reference_problems(model))):
        raise SpecError(refused)
    own = _own_components(spec, tree, resolved)
    found = examine(spec, task, model, own, source_files(tree, resolved, "adapter"))
    dead = tuple(dead_settings(model, spec, task, found.class_name))
    task = narrowed(task, found.class_name)
    name = spec.name or PurePath(tree.file).stem
    generation = _generation(task, model, found)
    specific = task_params(found.config, task, spec.task)
    defaults = own_defaults(task, spec, {**generation, **specific})
    document = FrozenDict(_resolved_document(spec, name, resolved))
    licence_step, licence_note = licence(model)
    papers = (card(model, name), licence_step)
    steps = (
        *_model_steps(spec, model, found),
        *_adapter_steps(found),
        *_component_steps(own),
        *found.code.files,
        *papers,
    )
    takes = signature(spec, task, answer_array(model, spec, task, found.dimension))
    sources = [SourceFiles(tree, pin, resolved.readers[pin.role]) for pin in resolved.pins.sources]
    problems = (
        *licence_problems(tree, spec.license_policy, sources),
        *dead,
        *embedding_problems(model, spec, task, found.dimension),
        *target_problems(model, steps),
        *undetermined(tree, spec, task, takes, {**defaults, **generation}),
    )
    if problems:
        raise SpecError(problems)
    spreading = ("accelerate",) if spec.runtime.device_map else ()
    libraries = versions(*task.requirements, *found.needs, *spreading)
    notes = (*found.notes, *embedding_notes(model, spec, task), licence_note, *_skipped(resolved))
    main = _saving(spec, found)
    size = sum(weight_bytes(group, main) for group in found.groups)
    return Plan(
        name=name,
        spec_document=document,
        spec_digest=digest_of(thaw(document)),
        sources=tuple(_record(files) for files in sources),
        deployment=_deployment(spec, task, found, defaults),
        signature=takes,
        steps=carried(model, found.groups, steps) if by_reference else steps,
        parameters=sum(parameters(group) for group in found.groups),
        weight_bytes=size,
        memory_bytes=_memory(found, main) if found.fit else size,
        settings=setting_rows(
            tree,
            spec,
            generation,
            specific,
            defaults,
            stated=stated_settings(model, task),
            stored_dtype=found.dtype,
        ),
        requirements=requirement_lines(libraries),
        versions=libraries,
        metadata=spec.metadata,
        input_example=spec.input_example,
        golden=golden_examples(spec),
        run=spec.input_example is not None or bool(spec.golden),
        check_golden=bool(spec.golden),
        notes=tuple(filter(None, notes)),
        pointers=pointers(model, found.groups, steps) if by_reference else (),
        merging=found.merging,
        code=found.code.classes,
    )


def _deployment(spec: Spec, task: Task, found: Examined, defaults: FrozenDict) -> Deployment:
    options = {name: component.options for name, component in spec.components.given() if component.options}
    return Deployment(
        library=spec.library,
        task=task.name,
        task_as_written=spec.task,
        model_class=found.class_name,
        dtype=found.dtype,
        outputs=spec.outputs,
        prompt_template=spec.prompt_template,
        model_config=spec.inference,
        defaults=defaults,
        components=found.components,
        options=FrozenDict(options),
        runtime=FrozenDict(spec.runtime.model_dump(exclude_none=True)),
    )


def _saving(spec: Spec, found: Examined) -> Saving:
    cast = None if spec.dtype == "auto" else spec.dtype
    return Saving(cast, found.fit.asked if found.fit else {}, size_in_bytes(spec.max_shard_size))


def _model_steps(spec: Spec, model: SourceFiles, found: Examined) -> Iterator[CopyFile | WriteWeights | WriteBytes]:
    saving = _saving(spec, found)
    config = f"{found.folder}config.json"
    rewritten = found.labels is not None or (saving.cast is not None and not says(found.config, saving.cast))
    handled = {*card_files(model), *([config] if rewritten else [])}
    yield from _copies(model, "model/", handled)
    if rewritten:
        yield WriteBytes(f"model/{config}", with_dtype(with_labels(found.config, found.labels), found.dtype))
    first, *others = found.groups
    yield from weight_steps(model, first, "model/", saving, changes=found.changes)
    for group in others:
        yield from weight_steps(model, group, "model/", Saving(saving.cast, {}, None))


def _adapter_steps(found: Examined) -> Iterator[CopyFile | WriteWeights | WriteBytes]:
    if found.adapter is not None:
        yield from adapter_steps(found.adapter)


def _own_components(spec: Spec, tree: Tree, resolved: Resolved) -> dict[str, SourceFiles]:
    """The components that the spec brings from elsewhere, by name."""
    found = ((name, source_files(tree, resolved, f"components/{name}")) for name, _ in spec.components.given())
    return {name: files for name, files in found if files is not None}


def _component_steps(own: Mapping[str, SourceFiles]) -> Iterator[CopyFile]:
    for files in own.values():
        yield from _copies(files, f"{files.role}/", set())


def _copies(files: SourceFiles, place: str, handled: set[str]) -> Iterator[CopyFile]:
    for file in files.pin.files:
        if file.path not in handled and is_copied(file.path) and not file.path.endswith(INDEXES):
            yield CopyFile(place + file.path, files.role, file.path, file.size, file.sha256)


def _generation(task: Task, model: SourceFiles, found: Examined) -> dict[str, Any]:
    """What the checkpoint's own generation config says of the task's settings."""
    stated = generation_settings(model.json(f"{found.folder}{GENERATION_CONFIG}"))
    return {name: value for name, value in stated.items() if task.setting(name) is not None}


def _memory(found: Examined, saving: Saving) -> int:
    assert found.fit is not None
    others = tuple(found.groups[1:])
    return found.fit.memory_bytes + sum(weight_bytes(group, saving) for group in others)


def _resolved_document(spec: Spec, name: str, resolved: Resolved) -> dict[str, Any]:
    """The spec with its name, each repo at its commit, and no path of this machine."""
    document = {**dump(spec), "name": name}
    places = {role: document[role] for role in ("model", "adapter") if document.get(role)}
    for part, component in document.get("components", {}).items():
        if component:
            places[f"components/{part}"] = component
    for role, place in places.items():
        pin = resolved.pins.source(role)
        if pin is not None and pin.commit is not None:
            place["revision"] = pin.commit
        if "path" in place:
            place["path"] = portable(place["path"])
    return document


def _record(files: SourceFiles) -> SourceRecord:
    pin = files.pin
    location = portable(pin.location) if pin.kind == "path" else pin.location
    return SourceRecord(pin.role, pin.kind, location, pin.revision, pin.commit, licences(files))


def _skipped(resolved: Resolved) -> Iterator[str]:
    for pin in resolved.pins.sources:
        if pin.skipped:
            yield f"Files of {pin.role} left out: {listed([path for path, _ in pin.skipped])}."
