"""The steps that put a deployment's files into its artifact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from hfspec.checkpoint.adapters.adapter import adapter_steps
from hfspec.checkpoint.card import card_files
from hfspec.checkpoint.config_rewrite import says, with_dtype, with_labels
from hfspec.checkpoint.examination import Examined
from hfspec.checkpoint.material import Material
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.saving import Saving, size_in_bytes, weight_bytes, weight_steps
from hfspec.checkpoint.weights.weight_files import is_copied
from hfspec.ir.plan import CopyFile, WriteBytes, WriteWeights
from hfspec.ir.spec import Spec

INDEXES = (".safetensors.index.json", ".bin.index.json")

Step = CopyFile | WriteWeights | WriteBytes


def artifact_steps(material: Material, found: Examined) -> tuple[Step, ...]:
    """The model's files, its adapter's, those of components from elsewhere, and the reviewed code; no papers."""
    adapter = adapter_steps(found.adapter) if found.adapter is not None else ()
    model = _model_steps(material.spec, material.model, found)
    return (*model, *adapter, *_component_steps(material.own), *found.code.files)


def saved_bytes(spec: Spec, found: Examined) -> int:
    """Bytes of all weights as they are saved."""
    return sum(weight_bytes(group, _saving(spec, found)) for group in found.groups)


def memory_bytes(spec: Spec, found: Examined) -> int:
    """Bytes that the loaded weights take; what is saved, where the library cannot say."""
    saving = _saving(spec, found)
    own = found.expanded_bytes if found.fit is None else found.fit.memory_bytes
    if own is None:
        return saved_bytes(spec, found)
    return own + sum(weight_bytes(group, saving) for group in found.groups[1:])


def _saving(spec: Spec, found: Examined) -> Saving:
    cast = None if spec.dtype == "auto" else spec.dtype
    return Saving(cast, found.fit.asked if found.fit else {}, size_in_bytes(spec.max_shard_size))


def _model_steps(spec: Spec, model: SourceFiles, found: Examined) -> Iterator[Step]:
    saving = _saving(spec, found)
    config = f"{found.folder}config.json"
    rewritten = found.labels is not None or (saving.cast is not None and not says(found.config, saving.cast))
    weights = {path for group in found.groups for path in (*group.headers, group.index)}
    handled = {*card_files(model), *weights, *([config] if rewritten else [])}
    yield from _copies(model, "model/", handled)
    if rewritten:
        yield WriteBytes(f"model/{config}", with_dtype(with_labels(found.config, found.labels), found.dtype))
    first, *others = found.groups
    yield from weight_steps(model, first, "model/", saving, changes=found.changes)
    for group in others:
        yield from weight_steps(model, group, "model/", Saving(saving.cast, {}, None))


def _component_steps(own: Mapping[str, SourceFiles]) -> Iterator[CopyFile]:
    for files in own.values():
        yield from _copies(files, f"{files.role}/", set())


def _copies(files: SourceFiles, place: str, handled: set[str]) -> Iterator[CopyFile]:
    for file in files.pin.files:
        if file.path not in handled and is_copied(file.path) and not file.path.endswith(INDEXES):
            yield CopyFile(place + file.path, files.role, file.path, file.size, file.sha256)
