"""The modules of a sentence-transformers checkpoint, read from ``modules.json``, and the dimension they end in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from hfspec.checkpoint.sentences.sentence_kind import refuse_other_kinds
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.weight_files import WeightGroup
from hfspec.errors import SpecError, StorageError
from hfspec.formats import sentence_modules
from hfspec.formats.loading_options import handed_on_faults
from hfspec.formats.module_kinds import DENSE
from hfspec.integrity.paths import path_fault
from hfspec.ir.problem import Problem
from hfspec.library_calls.activations import torch_activation
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task

# How Pooling's configs before 6.0 name its modes; several may be on, and each adds the width once.
MODE_FLAGS = "pooling_mode_"
LARGEST_SETTINGS = 1 << 20
SUPPORTED = {
    "cross-encoder": "a sequence classifier alone, at the top of the checkpoint",
    "sparse": "a masked-language model and SpladePooling",
}


@dataclass(frozen=True, slots=True)
class Module:
    """A module: its kind (``Pooling``), and its folder, empty or ending with a slash."""

    kind: str
    folder: str


def modules_of(files: SourceFiles, task: Task, *, is_pooled: bool = False) -> tuple[Module, ...]:
    """The modules of the task's model, in order; none for a model of transformers alone, nor for a classifier, nor for
    one whose graph gives embeddings (``is_pooled``).

    Raises SpecError when the checkpoint is of another kind, when a module is code of its own, or when one is of a
    kind that is not supported.
    """
    if not task.kind:
        return ()
    refuse_other_kinds(files, task)
    if fault := sentence_modules.stated_fault(files.json(sentence_modules.STATED)):
        raise files.refusal("broken-checkpoint", f"{sentence_modules.STATED}: {fault}")
    if files.has("modules.json"):
        _check_handed_on(files)
        return _dense(files) if task.kind == "dense" else _native(files, task)
    if is_pooled or task.kind == "cross-encoder" or not LIBRARIES[task.library].needs_modules:
        return ()
    raise files.refusal(
        "not-a-checkpoint",
        "the source has no modules.json, so nothing says how token embeddings become one embedding",
        remedy="write `pooling: mean`, or the mode that the model's card names, or use a model saved with that library",
    )


def _dense(files: SourceFiles) -> tuple[Module, ...]:
    entries = _entries(files)
    modules = _modules(entries)
    problems = (*_entry_problems(files, entries), *_unsupported(files, entries), *_activations(files, modules))
    if not problems and [module.kind for module in modules[:2]] != ["Transformer", "Pooling"]:
        kinds = ", ".join(module.kind for module in modules) or "none"
        problems = (
            files.problem(
                "not-supported-yet",
                "a dense model must begin with a Transformer and a Pooling module",
                found=kinds,
            ),
        )
    if problems:
        raise SpecError(problems)
    return modules


def _native(files: SourceFiles, task: Task) -> tuple[Module, ...]:
    """The modules of a model that only hfspec's own code runs."""
    entries = _entries(files)
    problems = tuple(_entry_problems(files, entries))
    if problems:
        raise SpecError(problems)
    modules = _modules(entries)
    if _read(files, task.kind) is None:
        raise files.refusal(
            "not-supported-yet",
            f"hfspec does not know how to run these modules, or a setting of theirs, for {task.name}",
            expected=SUPPORTED[task.kind],
            found=", ".join(module.kind for module in modules) or "no modules",
        )
    return modules


def _entries(files: SourceFiles) -> list[dict[str, str]]:
    entries = files.any_json("modules.json")
    if not isinstance(entries, list) or not all(_is_entry(entry) for entry in entries):
        raise files.refusal("broken-checkpoint", "modules.json is not a list of modules with a type and a path")
    return entries


def _modules(entries: list[dict[str, str]]) -> tuple[Module, ...]:
    return tuple(Module(entry["type"].rpartition(".")[2], _folder(entry["path"])) for entry in entries)


def dimension(files: SourceFiles, modules: tuple[Module, ...], hidden: int | None) -> int:
    """The width of the embedding that comes out of the last module. Raises SpecError when modules do not agree."""
    width = -1
    for module in modules:
        settings = files.json(f"{module.folder}config.json")
        if module.kind == "Pooling":
            width = _pooled(files, module, settings, hidden)
        elif module.kind == "Dense":
            if settings.get("in_features") != width:
                raise files.refusal(
                    "wrong-shape",
                    f"the Dense module in {module.folder} takes another width than the modules before it give",
                    expected=str(width),
                    found=str(settings.get("in_features")),
                )
            width = int(settings["out_features"])
    return width


def weight_problems(files: SourceFiles, module: Module, group: WeightGroup) -> Iterator[Problem]:
    """The problems that keep the weights of a Dense or LayerNorm module from fitting its config."""
    shapes = {tensor.name: tensor.shape for tensor in group.tensors}
    for name, shape in _tensors(module, files.json(f"{module.folder}config.json")).items():
        if name not in shapes:
            yield files.problem("missing-tensors", f"the {module.kind} module in {module.folder} lacks tensor {name}")
        elif shapes[name] != shape:
            yield files.problem(
                "wrong-shape",
                f"tensor {name} of the {module.kind} module in {module.folder} has not the shape its config.json says",
                expected=str(list(shape)),
                found=str(list(shapes[name])),
            )


def needs_the_library(files: SourceFiles) -> bool:
    """Whether the runtime runs these modules through sentence-transformers itself, not by its own code."""
    return _read(files, "dense") is None


def _read(files: SourceFiles, kind: str) -> sentence_modules.Checkpoint | None:
    """The checkpoint as the runtime would read it, from its small files alone."""
    with tempfile.TemporaryDirectory() as place:
        for path in files.paths:
            is_small = path in files.made or files.file(path).size < LARGEST_SETTINGS
            if path.endswith(".json") and is_small and not path_fault(path):
                copy = Path(place) / path
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(files.content(path))
        if kind == "cross-encoder":
            return sentence_modules.read_cross_encoder(Path(place))
        return (
            sentence_modules.read_sparse(Path(place))
            if kind == "sparse"
            else sentence_modules.read(Path(place), causal=False)
        )


def _tensors(module: Module, settings: dict[str, Any]) -> dict[str, tuple[Any, ...]]:
    if module.kind == "LayerNorm":
        return {f"norm.{part}": (settings.get("dimension"),) for part in ("weight", "bias")}
    shapes: dict[str, tuple[Any, ...]] = {"linear.weight": (settings.get("out_features"), settings.get("in_features"))}
    return shapes | ({"linear.bias": (settings.get("out_features"),)} if settings.get("bias", True) else {})


def _pooled(files: SourceFiles, module: Module, settings: dict[str, Any], hidden: int | None) -> int:
    width = settings.get("embedding_dimension", settings.get("word_embedding_dimension"))
    if not isinstance(width, int):
        raise files.refusal("broken-checkpoint", f"{module.folder}config.json does not say the embedding's dimension")
    if hidden is not None and width != hidden:
        raise files.refusal(
            "wrong-shape",
            "the Pooling module expects another width than the transformer gives",
            expected=str(hidden),
            found=str(width),
        )
    mode = settings.get("pooling_mode")
    if not isinstance(mode, str | list | None):
        raise files.refusal("broken-checkpoint", f"{module.folder}config.json has no pooling mode", found=repr(mode))
    if mode is not None:
        return width * (1 if isinstance(mode, str) else len(mode))
    flags = [value for key, value in settings.items() if key.startswith(MODE_FLAGS)]
    return width * (sum(value is True for value in flags) or 1)


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in ("type", "path"))


def _entry_problems(files: SourceFiles, entries: list[dict[str, str]]) -> Iterator[Problem]:
    for entry in entries:
        kind, path = entry["type"], PurePosixPath(entry["path"])
        if not kind.startswith("sentence_transformers."):
            yield files.problem(
                "remote-code", "modules.json names a module that is code of the checkpoint's own", found=repr(kind)
            )
        if path.is_absolute() or ".." in path.parts:
            yield files.problem(
                "broken-checkpoint", "modules.json names a folder outside the checkpoint", found=str(path)
            )


def _unsupported(files: SourceFiles, entries: list[dict[str, str]]) -> Iterator[Problem]:
    for entry in entries:
        kind = entry["type"].rpartition(".")[2]
        if entry["type"].startswith("sentence_transformers.") and kind not in DENSE:
            yield files.problem(
                "not-supported-yet",
                f"the module {kind} of the checkpoint is not supported yet",
                expected=", ".join(DENSE),
            )


def _activations(files: SourceFiles, modules: tuple[Module, ...]) -> Iterator[Problem]:
    """The library leaves out, with a warning, an activation that it would have to import from elsewhere, and calls what
    it finds under torch, whatever that is.
    """
    for module in modules:
        name = files.json(f"{module.folder}config.json").get("activation_function") if module.kind == "Dense" else None
        try:
            if name is not None:
                torch_activation(str(name))
        except StorageError:
            yield files.problem(
                "remote-code",
                f"{module.folder}config.json names an activation that is code from elsewhere",
                found=repr(name),
                expected="an activation of torch.nn",
            )


def _check_handed_on(files: SourceFiles) -> None:
    """Raises SpecError when a Transformer module's config says where the library is to load from, or what it runs."""
    paths = [path for path in files.paths if PurePosixPath(path).name in sentence_modules.TRANSFORMER_CONFIGS]
    problems = [
        files.problem("remote-code", f"{path} sets {fault}", remedy="use a checkpoint that does not set it")
        for path in paths
        for fault in handed_on_faults(files.json(path))
    ]
    if problems:
        raise SpecError(tuple(problems))


def _folder(path: str) -> str:
    clean = PurePosixPath(path).as_posix()
    return "" if clean == "." else f"{clean}/"
