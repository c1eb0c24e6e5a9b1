"""Spec and digested pins to the lock that holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from hfspec.checkpoint.calibration import calibration
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.lock import Lock, LockedSource, locked_file
from hfspec.ir.pins import Resolved, SourcePin
from hfspec.ir.source_kinds import SOURCE_KINDS, portable
from hfspec.ir.spec import Spec, dump
from hfspec.ir.tree import Tree
from hfspec.locking.chat_templates import chat_templates
from hfspec.tasks.table import find

# What brings the tokenizer, the nearest first.
TOKENIZER_ROLES = ("components/tokenizer", "components/processor", "model")
GENERATION_CONFIG = "generation_config.json"


def lock(spec: Spec, tree: Tree, digested: Resolved, versions: Mapping[str, str]) -> Lock:
    """The lock of a spec whose sources are what ``digested`` says, planned for these versions of packages.

    Raises SourceError when a small file cannot be read.
    """
    task = find(spec.library, spec.task)
    assert task is not None, "validate lets no unknown task through"
    name = spec.name or PurePath(tree.file).stem
    examples = calibration(spec, tree)
    return Lock(
        lock_version=1,
        name=name,
        spec_digest=digest_of(_document(spec, name)),
        library=spec.library,
        task=task.name,
        sources=tuple(_source(pin) for pin in digested.pins.sources),
        chat_templates=_templates(digested),
        generation_config=_generation_config(digested),
        calibration=examples.sha256 if examples else None,
        versions=FrozenDict(versions),
    )


def _document(spec: Spec, name: str) -> dict[str, Any]:
    """The spec as composed, with its name and no path of this machine; revisions stay as written."""
    document = {**dump(spec), "name": name}
    parts = (document["model"], document.get("adapter"), *document.get("components", {}).values())
    for source in parts:
        for key in SOURCE_KINDS:
            if source and source.get(key):
                source[key] = portable(key, source[key])
    if spec.quantization and spec.quantization.calibration:
        document["quantization"]["calibration"] = portable("path", spec.quantization.calibration)
    return document


def _source(pin: SourcePin) -> LockedSource:
    files = sorted((locked_file(file) for file in pin.files), key=lambda file: file.path)
    return LockedSource.model_validate(
        {
            "role": pin.role,
            "kind": pin.kind,
            "location": pin.portable_location,
            "revision": pin.revision,
            "commit": pin.commit,
            "version": pin.version,
            "files": files,
        }
    )


def _templates(digested: Resolved) -> FrozenDict:
    pins = (digested.pins.source(role) for role in TOKENIZER_ROLES)
    pin = next(pin for pin in pins if pin is not None)
    texts = chat_templates((file.path for file in pin.files), digested.readers[pin.role].small)
    return FrozenDict({name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()})


def _generation_config(digested: Resolved) -> str | None:
    model = digested.pins.source("model")
    assert model is not None, "resolve pins a model"
    return next((file.sha256 for file in model.files if file.path == GENERATION_CONFIG), None)
