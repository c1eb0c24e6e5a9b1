"""The spec as the artifact keeps it: each repository at its commit, and nothing of this machine."""

from __future__ import annotations

from pathlib import PurePath

from hfspec.checkpoint.licences import licences
from hfspec.checkpoint.secrets import without_secrets
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.artifact import SourceRecord
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.pins import Resolved
from hfspec.ir.source_kinds import SOURCE_KINDS, portable
from hfspec.ir.spec import Spec, dump
from hfspec.ir.tree import Tree


def name_of(spec: Spec, tree: Tree) -> str:
    """The deployment's name: the spec's own, or that of its file."""
    return spec.name or PurePath(tree.file).stem


def resolved_spec(spec: Spec, name: str, resolved: Resolved) -> FrozenDict:
    """The spec with its name, each repo at its commit, and no path of this machine."""
    document = {**dump(spec), "name": name}
    places = {role: document[role] for role in ("model", "adapter") if document.get(role)}
    for part, component in document.get("components", {}).items():
        if component:
            places[f"components/{part}"] = component
    for role, place in places.items():
        pin = resolved.pins.source(role)
        if pin is None:
            continue
        place[pin.kind] = pin.portable_location
        key = SOURCE_KINDS[pin.kind].pinned_key
        if key is not None:
            place[key] = pin.pinned
    if spec.quantization and spec.quantization.calibration:
        document["quantization"]["calibration"] = portable("path", spec.quantization.calibration)
    if "metadata" in document:
        document["metadata"] = without_secrets(spec.metadata)
    return FrozenDict(document)


def source_record(files: SourceFiles) -> SourceRecord:
    """Where a source's files came from, as the manifest says it."""
    pin, identifiers = files.pin, licences(files)
    return SourceRecord(
        pin.role, pin.kind, pin.portable_location, pin.revision, pin.commit, identifiers, version=pin.version
    )
