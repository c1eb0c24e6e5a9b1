"""What a checkpoint was made for, by its files and the registry of tasks."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from hfspec.checkpoint.sentences.sentence_kind import CLASSES
from hfspec.formats.sentence_modules import STATED
from hfspec.tasks import table

ST = "sentence-transformers"


def task_of(folder: Path) -> tuple[str, str]:
    """Library and task: the registry's first whose kind, or whose head, the checkpoint has; text-classification for one
    that says nothing, as broken ones do.
    """
    config, stated = _json(folder / "config.json"), _json(folder / STATED)
    tasks = {key: table.find(*key) for key in table.TASKS}
    if stated or "sentence_transformers" in config or (folder / "modules.json").is_file():
        kind = CLASSES.get(
            stated.get("model_type"), "dense" if (folder / "modules.json").is_file() else "cross-encoder"
        )
        able = (key for key, task in tasks.items() if key[0] == ST and task.kind == kind)
        return next(able, (ST, "feature-extraction"))
    heads = {
        *config.get("auto_map", ()),
        *(head for name in config.get("architectures") or () for head in _heads(name)),
    }
    able = (key for key, task in tasks.items() if heads & set(task.auto_classes))
    return next(able, ("transformers", "text-classification"))


@cache
def _heads(architecture: str) -> frozenset[str]:
    """The auto classes that have this class."""
    import transformers

    names = {name for key in table.TASKS for name in table.find(*key).auto_classes}
    mappings = {name: getattr(transformers, name)._model_mapping._model_mapping for name in names}
    return frozenset(name for name, classes in mappings.items() if architecture in _flat(classes.values()))


def _flat(names: Any) -> set[str]:
    return {each for name in names for each in ((name,) if isinstance(name, str) else name)}


def _json(file: Path) -> dict[str, Any]:
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
