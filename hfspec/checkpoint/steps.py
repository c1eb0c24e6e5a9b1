"""The steps that put a deployment's files into its artifact."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping

from hfspec.checkpoint.adapters.adapter import adapter_steps
from hfspec.checkpoint.card import card_files
from hfspec.checkpoint.checkpoint import Checkpoint
from hfspec.checkpoint.config_rewrite import says, with_dtype, with_labels
from hfspec.checkpoint.generation_config import GENERATION_CONFIG, generation_config
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.spec_sources import Sources
from hfspec.checkpoint.weights.saving import Saving, size_in_bytes, weight_bytes, weight_steps
from hfspec.checkpoint.weights.weight_files import is_copied
from hfspec.ir.plan import CopyFile, WriteBytes, WriteWeights
from hfspec.ir.spec import Spec

INDEXES = (".safetensors.index.json", ".bin.index.json")

Step = CopyFile | WriteWeights | WriteBytes


def artifact_steps(sources: Sources, checkpoint: Checkpoint, taken: Collection[str] = ()) -> tuple[Step, ...]:
    """List the steps that put a deployment's files into its artifact, but for the model card and the licences.

    Args:
        sources: The spec and the files of its sources.
        checkpoint: The model, examined.
        taken: The paths of files of the model that other steps put into it.

    Returns:
        A step for each file of the model, its adapter, the components from elsewhere, and the reviewed code.
    """
    adapter = adapter_steps(checkpoint.adapter) if checkpoint.adapter is not None else ()
    model = _model_steps(sources, checkpoint, taken)
    return (*model, *adapter, *_component_steps(sources.components), *checkpoint.code.files)


def saved_bytes(spec: Spec, checkpoint: Checkpoint) -> int:
    """Bytes of all weights as they are saved."""
    return sum(weight_bytes(group, _saving(spec, checkpoint)) for group in checkpoint.groups)


def memory_bytes(spec: Spec, checkpoint: Checkpoint) -> int:
    """Bytes that the loaded weights take; those of their tensors, where the library cannot say."""
    saving, computed = _saving(spec, checkpoint), spec.runtime.computed_dtype(checkpoint.dtype)
    if computed != checkpoint.dtype:
        saving = Saving(computed, {}, None)
    fit = checkpoint.fit
    own = checkpoint.expanded_bytes if fit is None else fit.memory_bytes({checkpoint.dtype: computed})
    groups = checkpoint.groups if own is None else checkpoint.module_weights
    return (own or 0) + sum(weight_bytes(group, saving) for group in groups)


def _saving(spec: Spec, checkpoint: Checkpoint) -> Saving:
    cast = None if spec.dtype == "auto" else spec.dtype
    return Saving(cast, checkpoint.fit.dtypes if checkpoint.fit else {}, size_in_bytes(spec.max_shard_size))


def _model_steps(sources: Sources, checkpoint: Checkpoint, taken: Collection[str]) -> Iterator[Step]:
    spec, model, task = sources.spec, sources.model, sources.task
    saving = _saving(spec, checkpoint)
    config = f"{checkpoint.folder}config.json"
    rewritten = checkpoint.labels is not None or (saving.cast is not None and not says(checkpoint.config, saving.cast))
    weights = {path for group in checkpoint.groups for path in (*group.headers, group.index)}
    handled = {*card_files(model), *weights, *taken, *([config] if rewritten else [])}
    generation = f"{checkpoint.folder}{GENERATION_CONFIG}"
    settings = generation_config(model, checkpoint.folder, task, spec)
    if settings != model.json(generation):
        handled.add(generation)
        yield WriteBytes(f"model/{generation}", (json.dumps(settings, indent=2) + "\n").encode())
    yield from _copies(model, "model/", handled)
    yield from (WriteBytes(f"model/{path}", content) for path, content in model.made.items())
    if rewritten:
        yield WriteBytes(
            f"model/{config}", with_dtype(with_labels(checkpoint.config, checkpoint.labels), checkpoint.dtype)
        )
    yield from weight_steps(model, checkpoint.weights, "model/", saving, changes=checkpoint.changes)
    for group in checkpoint.module_weights:
        yield from weight_steps(model, group, "model/", Saving(saving.cast, {}, None))


def _component_steps(components: Mapping[str, SourceFiles]) -> Iterator[CopyFile]:
    for files in components.values():
        yield from _copies(files, f"{files.role}/", set())


def _copies(files: SourceFiles, place: str, handled: set[str]) -> Iterator[CopyFile]:
    for file in files.pin.files:
        if file.path not in handled and is_copied(file.path) and not file.path.endswith(INDEXES):
            yield CopyFile(place + file.path, files.role, file.path, file.size, file.sha256)
