"""A spec to begin with: what a checkpoint is, as its own files say, with comments on what may be set."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hfspec.checkpoint.inference import NO_TOKENIZER, Inferred, infer
from hfspec.errors import UsageError
from hfspec.ir.artifact import MANIFEST_NAME
from hfspec.ir.patterns import COMMIT_PATTERN, MLFLOW_PATTERN
from hfspec.ir.pins import SourceName
from hfspec.sources.kinds import open_kind
from hfspec.sources.mlflow_model import MlflowSource, stated_task
from hfspec.tasks.table import find

STEP = re.compile(r"checkpoint-(\d+)")
LEFT_ALONE = ("optimizer.pt", "scheduler.pt", "training_args.bin", "trainer_state.json", "rng_state.pth")
SHOWN = 6  # settings of the task in the comment
CONFIGS = ("config.json", "adapter_config.json", "modules.json")
FLAVORS = {"transformers": "model_binary", "sentence_transformers": "data"}


@dataclass(frozen=True, slots=True)
class Start:
    """The beginning of a spec. ``sources``: key of the spec -> its source; ``notes``: why it is so."""

    inferred: Inferred
    sources: Mapping[str, Mapping[str, str]]
    notes: tuple[str, ...] = ()


def start(checkpoint: str, spec: Path) -> Start:
    """Look at a checkpoint and tell what a spec for it begins with.

    Args:
        checkpoint: A folder, a repository of the hub, ``package:NAME/FOLDER``, or a model logged by MLflow.
        spec: The file that the spec will be, from which relative paths start.

    Returns:
        The sources, the inferred task, and why.

    Raises:
        UsageError: For a folder that holds no checkpoint.
        SourceError: For a source that cannot be read.
    """
    if re.match(MLFLOW_PATTERN, checkpoint):
        return _opened("mlflow", checkpoint, spec)
    if checkpoint.startswith("package:"):
        return _opened("package", checkpoint.removeprefix("package:"), spec)
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return _of_folder(folder, spec)
    if folder.is_file():
        raise UsageError(f"{checkpoint} is a file; give the folder that it is in")
    if checkpoint.startswith((".", "/", "~")):
        raise UsageError(f"{checkpoint} is not a folder")
    return _opened("repo", checkpoint, spec)


def stated_source(model: str, spec: Path) -> dict[str, str]:
    """A source as it is named, without a look at it: a folder begins with ``.``, ``/`` or ``~``."""
    if model.startswith("package:"):
        return {"package": model.removeprefix("package:")}
    if model.startswith((".", "/")):
        return _path(Path(model), spec)
    return {"path": model} if model.startswith("~") else {"repo": model, "revision": "main"}


def _opened(kind: str, location: str, spec: Path) -> Start:
    """A source that is not a folder of this machine; a repository is pinned to the commit that it is at now."""
    repo, _, revision = location.partition("@") if kind == "repo" else (location, "", "")
    opened = open_kind(kind, SourceName(repo, revision or None, spec.parent))
    names = [file.path for file in opened.files]
    inferred = infer(names, lambda path: opened.reader.small(path).read_text(encoding="utf-8", errors="replace"))
    if isinstance(opened.reader, MlflowSource):
        if opened.reader.is_artifact:
            raise UsageError(
                f"{location} is an artifact of hfspec; `hfspec mlflow pull {location} -o DIR` brings it here, with the"
                " spec that it was compiled from, DIR/spec.yaml"
            )
        inferred = _as_logged(inferred, opened.reader.task)
    source = {kind: opened.version or repo, **({"revision": opened.commit} if opened.commit else {})}
    notes = (f"{repo} at its {revision or 'main'}, pinned to the commit that it is at now",) if opened.commit else ()
    return _start(inferred, source, spec, notes)


def _of_folder(folder: Path, spec: Path) -> Start:
    if (folder / MANIFEST_NAME).is_file():
        raise UsageError(f"{folder} is an artifact of hfspec; the spec that it was compiled from is {folder}/spec.yaml")
    if (folder / "MLmodel").is_file():
        return _of_mlflow(folder, spec)
    steps = {int(match[1]): path for path in folder.iterdir() if (match := STEP.fullmatch(path.name)) and path.is_dir()}
    files = {path.name for path in folder.iterdir() if path.is_file()}
    notes: list[str] = []
    if not files & set(CONFIGS) and steps:
        folder, why = _best(steps)
        files = {path.name for path in folder.iterdir() if path.is_file()}
        notes.append(why)
    elif steps:
        notes.append("the folder's own files are the checkpoint; its checkpoint-N folders are left alone")
    if alone := sorted(files & set(LEFT_ALONE)):
        notes.append(f"left alone, since only training needs them: {', '.join(alone)}")
    inferred = infer(files, lambda path: (folder / path).read_text(encoding="utf-8", errors="replace"))
    if not files & set(CONFIGS):
        raise UsageError(
            f"{folder} holds no checkpoint: neither {', '.join(CONFIGS[:-1])} nor {CONFIGS[-1]} is there; give"
            f" {_below(folder) or 'a folder that save_pretrained, a Trainer or MLflow wrote'}"
        )
    return _start(inferred, _path(folder, spec), spec, tuple(notes), beside=folder)


def _below(folder: Path) -> str:
    """The folders in it that hold a checkpoint, such as ``out/final``."""
    folders = sorted(path.parent for name in CONFIGS for path in folder.glob(f"*/{name}"))
    return " or ".join(str(path) for path in dict.fromkeys(folders))


def _best(steps: Mapping[int, Path]) -> tuple[Path, str]:
    """The checkpoint that the Trainer found best, or the last one."""
    last = steps[max(steps)]
    state = last / "trainer_state.json"
    try:
        name = json.loads(state.read_text(encoding="utf-8")).get("best_model_checkpoint") if state.is_file() else None
    except (ValueError, AttributeError):
        name = None
    best = next((path for path in steps.values() if name and path.name == Path(name).name), None)
    if best is not None:
        return best, f"{best.name} is the best one, as trainer_state.json says"
    return last, f"{last.name} is the last one; trainer_state.json names no best one"


def _of_mlflow(folder: Path, spec: Path) -> Start:
    """A logged model that was downloaded: the folder of its model, and those of its components."""
    from ruamel.yaml import YAML

    mlmodel = YAML(typ="safe", pure=True).load((folder / "MLmodel").read_text(encoding="utf-8")) or {}
    flavors = mlmodel.get("flavors", {})
    name = next((flavor for flavor in FLAVORS if flavor in flavors), None)
    if name is None:
        raise UsageError(
            f"{folder}: MLflow logged it with {', '.join(sorted(flavors)) or 'no flavor'}; a spec begins from what the"
            f" flavors {' and '.join(FLAVORS)} logged"
        )
    flavor: dict[str, Any] = {**flavors.get("python_function", {}), **flavors[name]}
    model = folder / str(flavor.get(FLAVORS[name], "model"))
    beginning = _of_folder(model, spec)
    parts = sorted(path for path in (folder / "components").glob("*") if path.is_dir())
    components = {f"components.{part.name}": _path(part, spec) for part in parts if part.name != "pipeline"}
    if "components.tokenizer" in components:
        hints = tuple(hint for hint in beginning.inferred.hints if hint != NO_TOKENIZER)
        beginning = replace(beginning, inferred=replace(beginning.inferred, hints=hints))
    return Start(
        _as_logged(beginning.inferred, stated_task(flavor)), {**beginning.sources, **components}, beginning.notes
    )


def _as_logged(inferred: Inferred, task: str) -> Inferred:
    """The task for which MLflow's flavor logged the model, where the library has it; else what its files say."""
    if task == inferred.task or not find(inferred.library, task):
        return inferred
    return Inferred(task, f"MLmodel has the task {task}", inferred.library, hints=inferred.hints)


def _start(
    inferred: Inferred, source: Mapping[str, str], spec: Path, notes: tuple[str, ...], beside: Path | None = None
) -> Start:
    if not inferred.base:
        return Start(inferred, {"model": source}, notes)
    base = Path(inferred.base).expanduser()
    near = beside / base if beside and not base.is_absolute() else base
    if any(place.is_dir() for place in (near, base)):
        model = _path(near if near.is_dir() else base, spec)
    else:
        pinned = inferred.base_revision if re.match(COMMIT_PATTERN, inferred.base_revision) else "main"
        model = {"repo": inferred.base, "revision": pinned}
    note = f"adapter_config.json names {inferred.base} as the model that the adapter was trained on"
    return Start(inferred, {"model": model, "adapter": source}, (*notes, note))


def _path(folder: Path, spec: Path) -> dict[str, str]:
    relative = Path(os.path.relpath(folder, spec.parent)).as_posix()
    return {"path": relative if relative.startswith(".") else f"./{relative}"}


def spec_text(head: str, task: str, library: str, beginning: Start) -> str:
    """The text of a spec that says what it must, with comments on why and on what may be set.

    Args:
        head: Its first line.
        task: The task.
        library: The library.
        beginning: The checkpoint.

    Returns:
        The text.
    """
    return "\n".join([head, *_lines(task, library, beginning)]) + "\n"


def _lines(task: str, library: str, beginning: Start) -> Iterator[str]:
    yield "spec_version: 1"
    yield f"library: {library}"
    if beginning.inferred.task == task:
        yield f"# The task, because {beginning.inferred.reason}."
    yield f"task: {task}"
    yield from (f"# {_sentence(note)}." for note in beginning.notes)
    components = {key: source for key, source in beginning.sources.items() if key.startswith("components.")}
    for key, source in beginning.sources.items():
        if key not in components:
            yield f"{key}:"
            yield from (f"  {name}: {json.dumps(value, ensure_ascii=False)}" for name, value in source.items())
    if components:
        yield "components:"
        for key, source in components.items():
            yield f"  {key.partition('.')[2]}: {json.dumps(source, ensure_ascii=False)}"
    yield from (f"# {hint}" for hint in beginning.inferred.hints)
    yield from _settings(library, task)


def _sentence(note: str) -> str:
    """The note with a capital letter, unless it begins with the name of a file or a folder."""
    return note[0].upper() + note[1:] if note.partition(" ")[0].strip(",:").isalpha() else note


def _settings(library: str, task: str) -> Iterator[str]:
    """Some settings of the task, as comments."""
    row = find(library, task)
    settings = row.settings[:SHOWN] if row else ()
    if settings:
        yield ""
        yield "# Settings for every call; docs/tasks.md has all. What callers may set goes under signature.params."
        yield "# model_config:"
        yield from (f"#   {setting.name}: {json.dumps(setting.default)}" for setting in settings)
    yield ""
    yield "# dtype: auto           # as stored; float32, float16 or bfloat16 casts the weights"
    yield "# input_example: …      # tried when it is compiled, and shown to callers"
