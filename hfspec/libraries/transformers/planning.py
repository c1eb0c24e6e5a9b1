"""The plan of a checkpoint of transformers: examined, decided, written down."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.checkpoint.backends import backend_package, backend_problems
from hfspec.checkpoint.calibration import calibration
from hfspec.checkpoint.card import card, licence
from hfspec.checkpoint.checkpoint import Checkpoint
from hfspec.checkpoint.examination import examine
from hfspec.checkpoint.generation import generation_notes, generation_problems
from hfspec.checkpoint.generation_config import generation_config
from hfspec.checkpoint.golden import undetermined
from hfspec.checkpoint.label_names import answers_labels
from hfspec.checkpoint.licences import licence_problems
from hfspec.checkpoint.native_flavor import native_flavor, native_steps
from hfspec.checkpoint.planned import deployed, planned
from hfspec.checkpoint.requirements import requirement_lines, versions
from hfspec.checkpoint.resolved_spec import name_of
from hfspec.checkpoint.secrets import Cleaned, cleaned
from hfspec.checkpoint.sentences.embedding import answer_array, embedding_notes, embedding_problems
from hfspec.checkpoint.sentences.stated_pooling import with_pooling
from hfspec.checkpoint.settings import SettingLayers, dead_settings, narrowed, setting_layers, setting_rows
from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.spec_sources import Sources
from hfspec.checkpoint.steps import artifact_steps, memory_bytes, saved_bytes
from hfspec.checkpoint.targets import target_problems
from hfspec.checkpoint.weights.quantised import packages
from hfspec.checkpoint.weights.references import carried, pointers, reference_problems
from hfspec.checkpoint.weights.saving import parameters
from hfspec.checkpoint.weights.weight_files import listed
from hfspec.checkpoint.weights.weight_formats import format_notes, format_problems, makers
from hfspec.errors import SpecError
from hfspec.formats.label_names import stated_labels
from hfspec.ir.artifact import Deployment
from hfspec.ir.plan import CopyFile, Flavor, Plan
from hfspec.ir.problem import Problem
from hfspec.ir.signature import Signature
from hfspec.ir.spec import Spec
from hfspec.language.secrets import spec_notes
from hfspec.tasks.task import Task
from hfspec.tasks.weight_formats import WEIGHT_FORMATS


@dataclass(frozen=True, slots=True)
class _Decisions:
    """The decisions about a checkpoint after its examination."""

    task: Task
    """The spec's task with only those of its settings that the model can use."""
    layers: SettingLayers
    graph: tuple[CopyFile, ...]
    """The steps for a graph of the source."""
    clean: Cleaned
    flavor: Flavor | None
    licence_note: str
    signature: Signature


def plan(sources: Sources) -> Plan:
    """The plan of compiling a checkpoint of transformers or of sentence-transformers.

    Args:
        sources: The spec, valid, and the files of its sources.

    Returns:
        Every decision about the artifact.

    Raises:
        SpecError: With every problem of the checkpoint: a task its architecture cannot do, tensors that are missing or
            have another shape, a tokenizer that does not fit.
        SourceError: When a small file cannot be read.
    """
    sources = with_pooling(sources)
    checkpoint = examine(sources)
    decisions = _decisions(sources, checkpoint)
    if problems := tuple(_problems(sources, checkpoint, decisions)):
        raise SpecError(problems)
    return _plan(sources, checkpoint, decisions)


def _decisions(sources: Sources, checkpoint: Checkpoint) -> _Decisions:
    spec, model = sources.spec, sources.model
    task = narrowed(sources.task, checkpoint.model_class.name)
    licence_step, licence_note = licence(model)
    flavor = native_flavor(sources, checkpoint)
    graph = WEIGHT_FORMATS[spec.format].taken(sources)
    own = artifact_steps(sources, checkpoint, {step.path for step in graph})
    files = (*own, *native_steps(sources, checkpoint, flavor), *graph)
    steps = (*files, card(model, name_of(spec, sources.tree)), licence_step)
    return _Decisions(
        task=task,
        layers=setting_layers(
            spec,
            task,
            model,
            checkpoint.config,
            folder=checkpoint.folder,
            model_class=checkpoint.model_class.name,
            is_code=bool(checkpoint.code.classes),
        ),
        graph=graph,
        clean=cleaned(steps, sources.all),
        flavor=flavor,
        licence_note=licence_note,
        signature=signature(spec, task, answer_array(model, spec, task, checkpoint.dimension)),
    )


def _generation_config(sources: Sources, checkpoint: Checkpoint) -> Mapping[str, Any]:
    return generation_config(sources.model, checkpoint.folder, sources.task, sources.spec)


def _is_reference(spec: Spec) -> bool:
    return spec.save_mode == "reference"


def _problems(sources: Sources, checkpoint: Checkpoint, decisions: _Decisions) -> Iterator[Problem]:
    spec, tree, model = sources.spec, sources.tree, sources.model
    task, layers, config = decisions.task, decisions.layers, checkpoint.config
    if _is_reference(spec):
        yield from reference_problems(model, checkpoint.groups)
    yield from licence_problems(tree, spec.license_policy, sources.all)
    yield from dead_settings(model, spec, sources.task, checkpoint.model_class.name)
    yield from generation_problems(model, _generation_config(sources, checkpoint), task, layers=layers, config=config)
    yield from embedding_problems(model, spec, task, checkpoint.dimension)
    yield from target_problems(model, decisions.clean.steps)
    yield from backend_problems(tree, spec, config, checkpoint.dtype)
    yield from format_problems(sources, checkpoint)
    yield from WEIGHT_FORMATS[spec.format].problems(sources)
    settings = {**layers.defaults, **layers.generation}
    yield from undetermined(tree, spec, task, decisions.signature, settings)


def _plan(sources: Sources, checkpoint: Checkpoint, decisions: _Decisions) -> Plan:
    spec, model, steps = sources.spec, sources.model, decisions.clean.steps
    is_reference = _is_reference(spec)
    spreading = ("accelerate",) if spec.runtime.device_map else ()
    weight_format = WEIGHT_FORMATS[spec.format]
    needed = (*decisions.task.requirements, *checkpoint.needs, *spreading, *backend_package(spec))
    libraries = versions(
        *weight_format.library(spec.library, sources.task.name).packages,
        *(needed if weight_format.is_by_transformers(sources.task) else ()),
    )
    return planned(
        sources,
        _deployment(sources, checkpoint, decisions),
        decisions.clean,
        tuple(_notes(sources, checkpoint, decisions)),
        signature=decisions.signature,
        steps=carried(model, checkpoint.groups, steps) if is_reference else steps,
        **_sizes(spec, checkpoint, decisions),
        settings=setting_rows(sources.tree, spec, decisions.layers, checkpoint.dtype),
        requirements=requirement_lines(libraries, packages(checkpoint.config)[1]),
        versions=libraries,
        pointers=pointers(model, checkpoint.groups, steps) if is_reference else (),
        merging=checkpoint.merging,
        code=checkpoint.code.classes,
        labels=stated_labels(checkpoint.config) if answers_labels(decisions.task) else (),
        flavor=decisions.flavor,
        makers=makers(spec),
        graph_file=spec.model.file,
        quantization=spec.quantization,
        calibration=calibration(spec, sources.tree),
    )


def _sizes(spec: Spec, checkpoint: Checkpoint, decisions: _Decisions) -> dict[str, int]:
    """How large the model is; by its architecture and its graph where there are no weights."""
    if checkpoint.is_graph_alone:
        assert checkpoint.fit is not None, "a graph is refused for a quantised checkpoint"
        size = sum(step.size for step in decisions.graph)
        elements = checkpoint.fit.elements.get(checkpoint.dtype, 0)
        return {"parameters": elements, "weight_bytes": size, "memory_bytes": size}
    return {
        "parameters": sum(parameters(group) for group in checkpoint.groups),
        "weight_bytes": saved_bytes(spec, checkpoint),
        "memory_bytes": memory_bytes(spec, checkpoint),
    }


def _deployment(sources: Sources, checkpoint: Checkpoint, decisions: _Decisions) -> Deployment:
    return deployed(
        sources,
        decisions.task,
        model_class=checkpoint.model_class.name,
        dtype=checkpoint.dtype,
        defaults=decisions.layers.defaults,
        components=checkpoint.components,
    )


def _notes(sources: Sources, checkpoint: Checkpoint, decisions: _Decisions) -> Iterator[str]:
    yield from checkpoint.notes
    yield from format_notes(sources, checkpoint)
    yield from generation_notes(
        sources.model, checkpoint.folder, decisions.task, _generation_config(sources, checkpoint)
    )
    yield from embedding_notes(sources.model, sources.spec, decisions.task)
    yield decisions.licence_note
    yield from decisions.clean.notes
    yield from spec_notes(sources.tree)
    for pin in sources.resolved.pins.sources:
        if pin.skipped:
            yield f"Files of {pin.role} left out: {listed([path for path, _ in pin.skipped])}."
