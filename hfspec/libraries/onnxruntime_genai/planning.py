"""The plan of a model of ONNX Runtime's generate(), from its config and its graph's header, without any weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hfspec.checkpoint.card import card, card_files, licence
from hfspec.checkpoint.golden import undetermined
from hfspec.checkpoint.licences import licence_problems
from hfspec.checkpoint.planned import deployed, planned
from hfspec.checkpoint.requirements import requirement_lines, versions
from hfspec.checkpoint.resolved_spec import name_of
from hfspec.checkpoint.secrets import Cleaned, cleaned
from hfspec.checkpoint.settings import SettingLayers, setting_rows
from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.spec_sources import Sources
from hfspec.checkpoint.targets import target_problems
from hfspec.errors import SpecError
from hfspec.ir.artifact import FileRecord, Pointer
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.plan import CopyFile, Plan, WriteBytes
from hfspec.ir.problem import Problem
from hfspec.ir.spec import Spec
from hfspec.language.secrets import spec_notes
from hfspec.libraries.onnxruntime_genai.config import CONFIG
from hfspec.libraries.onnxruntime_genai.examination import Model, examine
from hfspec.libraries.onnxruntime_genai.loading import CPU, available
from hfspec.settings.precedence import Settings, layers_of
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task

Step = CopyFile | WriteBytes


@dataclass(frozen=True, slots=True)
class _Decisions:
    """The decisions about a model after its examination."""

    model: Model
    layers: SettingLayers
    clean: Cleaned
    pointers: tuple[Pointer, ...]
    licence_note: str


def plan(sources: Sources) -> Plan:
    """The plan of compiling a model of ONNX Runtime's generate().

    Args:
        sources: The spec, valid, and the files of its sources.

    Returns:
        Every decision about the artifact.

    Raises:
        SpecError: With every problem of the model.
        SourceError: When a file cannot be read.
    """
    decisions = _decisions(sources, examine(sources.model, sources.task))
    if problems := tuple(_problems(sources, decisions)):
        raise SpecError(problems)
    return _plan(sources, decisions)


def _decisions(sources: Sources, model: Model) -> _Decisions:
    spec, files = sources.spec, sources.model
    licence_step, licence_note = licence(files)
    is_reference = spec.save_mode == "reference"
    weights = tuple(files.file(path) for path in model.weights) if is_reference else ()
    skipped = {one.path for one in weights} | card_files(files)
    copies = tuple(
        CopyFile(f"model/{one.path}", files.role, one.path, one.size, one.sha256)
        for one in files.pin.files
        if one.path not in skipped
    )
    records = tuple(FileRecord(one.path, one.size, one.sha256 or "") for one in weights)
    return _Decisions(
        model=model,
        layers=_layers(spec, sources.task, model),
        clean=cleaned((*copies, card(files, name_of(spec, sources.tree)), licence_step), sources.all),
        pointers=(Pointer(files.role, model.folder, records),) if is_reference else (),
        licence_note=licence_note,
    )


def _layers(spec: Spec, task: Task, model: Model) -> SettingLayers:
    options = model.config.stated(task)
    layers = layers_of(
        task,
        model.config.architecture,
        checkpoint=options,
        model_config=spec.inference,
        signature={name: param.default for name, param in spec.signature.params.items()},
    )
    return SettingLayers(Settings(layers), FrozenDict(options), FrozenDict(dict.fromkeys(options, CONFIG)))


def _problems(sources: Sources, decisions: _Decisions) -> Iterator[Problem]:
    spec, tree = sources.spec, sources.tree
    yield from licence_problems(tree, spec.license_policy, sources.all)
    yield from _dead_keys(sources.model, spec, decisions.model)
    yield from target_problems(sources.model, decisions.clean.steps)
    settings = {**decisions.layers.defaults, **decisions.layers.generation}
    yield from undetermined(tree, spec, sources.task, signature(spec, sources.task, None), settings)


def _dead_keys(files: SourceFiles, spec: Spec, model: Model) -> Iterator[Problem]:
    """The problems of keys of the spec that do nothing for a graph."""
    library = spec.library
    dead: dict[tuple[str, ...], bool] = {
        ("adapter",): spec.adapter is not None,
        ("dtype",): spec.dtype not in ("auto", model.dtype),
        ("allow_architecture_mismatch",): spec.allow_architecture_mismatch is not None,
        ("trust_remote_code",): bool(spec.trust_remote_code),
        ("runtime", "device_map"): spec.runtime.device_map is not None,
        ("runtime", "backend"): "backend" in spec.runtime.model_fields_set,
        ("runtime", "compute_dtype"): spec.runtime.compute_dtype is not None,
    }
    for path, is_set in dead.items():
        if is_set:
            yield files.problem(
                "dead-key",
                f"`{'.'.join(path)}` does nothing for a model of {library}, whose graph is run as it is",
                at=path,
                remedy="remove it",
            )


def _plan(sources: Sources, decisions: _Decisions) -> Plan:
    spec, model, task = sources.spec, decisions.model, sources.task
    packages = versions(*LIBRARIES[task.library].packages)
    return planned(
        sources,
        deployed(
            sources,
            task,
            model_class=model.config.architecture,
            dtype=model.dtype,
            defaults=decisions.layers.defaults,
        ),
        decisions.clean,
        tuple(_notes(sources, decisions)),
        signature=signature(spec, task, None),
        parameters=model.graph.elements,
        weight_bytes=model.weight_bytes,
        memory_bytes=model.weight_bytes,
        settings=setting_rows(sources.tree, spec, decisions.layers, model.dtype),
        requirements=requirement_lines(packages),
        versions=packages,
        pointers=decisions.pointers,
    )


def _notes(sources: Sources, decisions: _Decisions) -> Iterator[str]:
    yield from decisions.model.notes()
    yield from _provider_notes(sources.spec, decisions.model)
    yield from (f"{path} is left out: {why}." for path, why in sources.model.pin.skipped)
    yield decisions.licence_note
    yield from decisions.clean.notes
    yield from spec_notes(sources.tree)


def _provider_notes(spec: Spec, model: Model) -> Iterator[str]:
    """Notes on the execution providers of the config and the spec, and on the one that computes here."""
    device: Any = spec.runtime.device
    for name in model.config.providers:
        if name != device:
            yield f"{CONFIG} names the execution provider {name}; the CPU computes unless `runtime.device` says {name}."
    if device not in (None, "auto", CPU) and not available(str(device)):
        yield (
            f"runtime.device is {device}, which the installed onnxruntime-genai cannot use here: who loads the artifact"
            " where that is so gives device='cpu'."
        )
    if graphs := sorted({PurePosixPath(path).name for path in model.unused}):
        yield f"{', '.join(graphs)}: the graph names neither, and they go along all the same."
