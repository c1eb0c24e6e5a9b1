"""Spec and pins in, every decision out: nothing is read but small files and headers, nothing is written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hfspec.checkpoint.backends import backend_package, backend_problems
from hfspec.checkpoint.card import card, licence
from hfspec.checkpoint.examination import Examined, examine
from hfspec.checkpoint.generation import generation_notes, generation_problems
from hfspec.checkpoint.golden import golden_examples, undetermined
from hfspec.checkpoint.label_names import answers_labels
from hfspec.checkpoint.licences import licence_problems
from hfspec.checkpoint.material import Material, material
from hfspec.checkpoint.native_flavor import native_pipeline, pipeline_steps
from hfspec.checkpoint.requirements import requirement_lines, versions
from hfspec.checkpoint.resolved_spec import name_of, resolved_spec, source_record
from hfspec.checkpoint.secrets import Cleaned, cleaned, without_secrets
from hfspec.checkpoint.sentences.embedding import answer_array, embedding_notes, embedding_problems
from hfspec.checkpoint.settings import SettingLayers, dead_settings, narrowed, setting_layers, setting_rows
from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.source_files import SourceFiles, refuse_unreadable
from hfspec.checkpoint.steps import Step, artifact_steps, memory_bytes, saved_bytes
from hfspec.checkpoint.targets import target_problems
from hfspec.checkpoint.weights.quantised import packages
from hfspec.checkpoint.weights.references import carried, pointers, reference_problems
from hfspec.checkpoint.weights.saving import parameters
from hfspec.checkpoint.weights.weight_files import listed
from hfspec.errors import SpecError
from hfspec.formats.label_names import stated_labels
from hfspec.ir.artifact import Deployment
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.pins import Resolved
from hfspec.ir.plan import Pipeline, Plan
from hfspec.ir.problem import Problem
from hfspec.ir.signature import Signature
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.language.secrets import spec_notes
from hfspec.tasks.task import Task


@dataclass(frozen=True, slots=True)
class _Decided:
    """What is known of a deployment once its checkpoint is examined. ``task``: the given one, with those of its
    settings only that the model can use.
    """

    given: Material
    tree: Tree
    resolved: Resolved
    task: Task
    found: Examined
    layers: SettingLayers
    clean: Cleaned
    pipeline: Pipeline | None
    licence_note: str
    signature: Signature

    @property
    def sources(self) -> tuple[SourceFiles, ...]:
        return _sources(self.tree, self.resolved)

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.clean.steps

    @property
    def spec(self) -> Spec:
        return self.given.spec

    @property
    def model(self) -> SourceFiles:
        return self.given.model

    @property
    def is_reference(self) -> bool:
        return self.spec.save_mode == "reference"


def _sources(tree: Tree, resolved: Resolved) -> tuple[SourceFiles, ...]:
    return tuple(SourceFiles(tree, pin, resolved.readers[pin.role]) for pin in resolved.pins.sources)


def plan(spec: Spec, tree: Tree, resolved: Resolved) -> Plan:
    """What compiling ``spec`` will do.

    Raises SpecError with every problem of the checkpoint: a task its architecture cannot do, tensors that are missing
    or have another shape, a tokenizer that does not fit. Raises SourceError when a small file cannot be read.
    """
    decided = _decide(spec, tree, resolved)
    if problems := tuple(_problems(decided)):
        raise SpecError(problems)
    return _plan(decided)


def _decide(spec: Spec, tree: Tree, resolved: Resolved) -> _Decided:
    given = material(spec, tree, resolved)
    model = given.model
    refuse_unreadable((model, *given.own.values(), *filter(None, [given.adapter])))
    found = examine(given)
    task = narrowed(given.task, found.class_name)
    licence_step, licence_note = licence(model)
    pipeline = native_pipeline(given, found)
    made = (*artifact_steps(given, found), *pipeline_steps(given, pipeline))
    steps = (*made, card(model, name_of(spec, tree)), licence_step)
    return _Decided(
        given=given,
        tree=tree,
        resolved=resolved,
        task=task,
        found=found,
        layers=setting_layers(spec, task, model, found.config, found.folder),
        clean=cleaned(steps, _sources(tree, resolved)),
        pipeline=pipeline,
        licence_note=licence_note,
        signature=signature(spec, task, answer_array(model, spec, task, found.dimension)),
    )


def _problems(decided: _Decided) -> Iterator[Problem]:
    spec, tree, task, model, found = decided.spec, decided.tree, decided.task, decided.model, decided.found
    if decided.is_reference:
        yield from reference_problems(model, found.groups)
    yield from licence_problems(tree, spec.license_policy, decided.sources)
    yield from dead_settings(model, spec, decided.given.task, found.class_name)
    yield from generation_problems(model, found.folder, spec, task, layers=decided.layers, config=found.config)
    yield from embedding_problems(model, spec, task, found.dimension)
    yield from target_problems(model, decided.steps)
    yield from backend_problems(tree, spec, found.config, found.dtype)
    known = {**decided.layers.defaults, **decided.layers.generation}
    yield from undetermined(tree, spec, task, decided.signature, known)


def _plan(decided: _Decided) -> Plan:
    spec, found, model, steps = decided.spec, decided.found, decided.model, decided.steps
    name = name_of(spec, decided.tree)
    document = resolved_spec(spec, name, decided.resolved)
    spreading = ("accelerate",) if spec.runtime.device_map else ()
    libraries = versions(*decided.task.requirements, *found.needs, *spreading, *backend_package(spec))
    return Plan(
        name=name,
        spec_document=document,
        spec_digest=digest_of(thaw(document)),
        sources=tuple(map(source_record, decided.sources)),
        deployment=_deployment(decided),
        signature=decided.signature,
        steps=carried(model, found.groups, steps) if decided.is_reference else steps,
        parameters=sum(parameters(group) for group in found.groups),
        weight_bytes=saved_bytes(spec, found),
        memory_bytes=memory_bytes(spec, found),
        settings=setting_rows(decided.tree, spec, decided.layers, found.dtype),
        requirements=requirement_lines(libraries, packages(found.config)[1]),
        versions=libraries,
        metadata=without_secrets(spec.metadata),
        input_example=spec.input_example,
        golden=golden_examples(spec),
        run=spec.input_example is not None or bool(spec.golden),
        check_golden=bool(spec.golden),
        notes=tuple(filter(None, _notes(decided))),
        pointers=pointers(model, found.groups, steps) if decided.is_reference else (),
        merging=found.merging,
        code=found.code.classes,
        cleaned=decided.clean.changed,
        labels=stated_labels(found.config) if answers_labels(decided.task) else (),
        pipeline=decided.pipeline,
    )


def _deployment(decided: _Decided) -> Deployment:
    spec, found = decided.spec, decided.found
    options = {name: component.options for name, component in spec.components.given() if component.options}
    return Deployment(
        library=spec.library,
        task=decided.task.name,
        task_as_written=spec.task,
        model_class=found.class_name,
        dtype=found.dtype,
        outputs=spec.outputs,
        prompt_template=spec.prompt_template,
        model_config=spec.inference,
        defaults=decided.layers.defaults,
        components=found.components,
        options=FrozenDict(options),
        runtime=FrozenDict(spec.runtime.model_dump(exclude_defaults=True)),
    )


def _notes(decided: _Decided) -> Iterator[str]:
    yield from decided.found.notes
    yield from generation_notes(decided.model, decided.found.folder, decided.task)
    yield from embedding_notes(decided.model, decided.spec, decided.task)
    yield decided.licence_note
    yield from decided.clean.notes
    yield from spec_notes(decided.tree)
    for pin in decided.resolved.pins.sources:
        if pin.skipped:
            yield f"Files of {pin.role} left out: {listed([path for path, _ in pin.skipped])}."
