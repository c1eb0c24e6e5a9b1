"""The effect of the spec's settings on embeddings: the array that comes out, and what the checkpoint cannot give."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.sentence_modules import STATED, is_saved_cross_encoder, own_settings
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.signature import Tensor
from hfspec.ir.spec import Spec
from hfspec.settings import quantization
from hfspec.settings.prompts import ROLES, Prompts
from hfspec.tasks.task import Task


def answer_array(files: SourceFiles, spec: Spec, task: Task, size: int | None) -> Tensor | None:
    """The array that the task answers with, for models that give ``size`` numbers a row; None when they do not, and for
    tasks that answer otherwise.
    """
    if size is None or not isinstance(task.outputs, Tensor):
        return None
    if task.setting("precision") is not None:
        dtype, width = quantization.array(size, _settings(files, spec, task))
        return Tensor(dtype, (-1, width))
    return Tensor(task.outputs.dtype, (-1, size)) if task.kind == "cross-encoder" else None


def stated_settings(files: SourceFiles, task: Task) -> dict[str, Any]:
    """The task's settings that the checkpoint itself states."""
    return own_settings(_stated(files, task), task) if task.kind else {}


def embedding_problems(files: SourceFiles, spec: Spec, task: Task, size: int | None) -> Iterator[Problem]:
    """Prompts that the checkpoint does not have, dimensions beyond its own, and precisions that lack their ranges."""
    if not task.kind:
        return
    prompts = Prompts(_stated(files, task), roles=task.kind != "cross-encoder")
    for path, name in _said(spec, "prompt_name"):
        if fault := prompts.fault(name if isinstance(name, str) else None):
            names = ", ".join(sorted(prompts.by_name)) or "none, the checkpoint has no prompts"
            yield files.problem("unknown-prompt", fault, at=path, found=repr(name), expected=names)
    if size is None:
        return
    for path, dimensions in _said(spec, "truncate_dim"):
        if isinstance(dimensions, int) and dimensions > size:
            message = "The model gives fewer dimensions than are to be kept."
            yield files.problem(
                "too-many-dimensions", message, at=path, found=str(dimensions), expected=f"at most {size}"
            )
    if task.setting("precision") is None:
        return
    if fault := quantization.fault(size, _settings(files, spec, task)):
        paths = [path for name in ("precision", quantization.RANGES) for path, _ in _said(spec, name)]
        yield files.problem("quantization", fault, at=paths[-1] if paths else ("model_config",))


def embedding_notes(files: SourceFiles, spec: Spec, task: Task) -> Iterator[str]:
    """Notes on a role where sentence-transformers itself does otherwise."""
    prompts = Prompts(files.json(STATED)).stated if task.setting("role") is not None else {}
    document_prompts = [name for name in ROLES["document"] if name in prompts]
    if (
        "document" in [role for _, role in _said(spec, "role")]
        and document_prompts
        and document_prompts[0] != "document"
        and prompts[document_prompts[0]]
    ):
        yield (
            f"The role document puts the checkpoint's prompt {document_prompts[0]!r} before each text; encode_document"
            " of sentence-transformers 6 would put none, since it takes an unstated prompt named document for empty."
        )


def _stated(files: SourceFiles, task: Task) -> dict[str, Any]:
    """config_sentence_transformers.json where the library reads it: not beside a classifier that it has not saved."""
    config = files.json(STATED)
    if task.kind == "cross-encoder" and not is_saved_cross_encoder(config, has_modules=files.has("modules.json")):
        return {}
    return config


def _settings(files: SourceFiles, spec: Spec, task: Task) -> dict[str, Any]:
    """The settings in force in a call without params."""
    own = stated_settings(files, task)
    defaults = {name: param.default for name, param in spec.signature.params.items()}
    return {**own, **thaw(spec.inference), **defaults}


def _said(spec: Spec, name: str) -> list[tuple[KeyPath, Any]]:
    """Where the spec sets a setting, and to what."""
    values: list[tuple[KeyPath, Any]] = []
    if name in spec.inference:
        values.append((("model_config", name), thaw(spec.inference[name])))
    if name in spec.signature.params:
        values.append((("signature", "params", name), spec.signature.params[name].default))
    return values
