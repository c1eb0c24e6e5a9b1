"""Notes of the plan on a checkpoint, each a whole sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.checkpoint.checkpoint import Checkpoint
from hfspec.checkpoint.graphs.header import SENTENCE
from hfspec.checkpoint.remote_code.class_references import MODEL
from hfspec.checkpoint.remote_code.reviewed import Code
from hfspec.checkpoint.weights.quantised import is_expanded, packages
from hfspec.checkpoint.weights.stored_dtype import declared_dtype
from hfspec.checkpoint.weights.weight_files import WeightGroup, listed
from hfspec.formats.quantisation import quantisation
from hfspec.ir.dtypes import BY_TORCH_NAME, HALVES, size_of
from hfspec.ir.spec import Spec
from hfspec.tasks.task import Task


def weight_notes(spec: Spec, raw: Mapping[str, Any], group: WeightGroup, dtype: str) -> Iterator[str]:
    """Notes on how the weights are stored. ``raw``: config.json; ``dtype``: of the deployment."""
    if quantisation(raw) is not None:
        yield "The checkpoint is quantised: its tensors are carried along unchanged and their shapes not checked."
    if is_expanded(raw):
        yield (
            f"Where no accelerator computes in the checkpoint's own format, its weights are expanded to {dtype} when"
            " they are loaded: the memory is that of the expanded weights."
        )
    if missing := packages(raw)[1]:
        yield f"What reads its weights is not installed here, and requirements.txt names it: {', '.join(missing)}."
    config_dtype = declared_dtype(raw)
    if group.headers and spec.dtype == "auto" and config_dtype not in (None, dtype) and quantisation(raw) is None:
        yield f"config.json says {config_dtype}, the weights are stored as {dtype}; they stay as stored."
    chosen = spec.runtime.compute_dtype
    if chosen == "auto" and dtype in HALVES:
        yield (
            f"On a CPU where products in {dtype} are measured to be slower than in float32, a load casts the weights to"
            " float32, which takes twice the memory."
        )
    elif chosen not in (None, "auto", dtype):
        times = size_of(BY_TORCH_NAME[chosen]) / size_of(BY_TORCH_NAME[dtype])
        yield f"A load casts the weights from {dtype} to {chosen}: {times:g} times the memory that they take as stored."
    if group.pickled:
        yield "The weights are pickled (.bin) at the source and are written as safetensors."


def pooling_notes(spec: Spec, task: Task, checkpoint: Checkpoint) -> Iterator[str]:
    """How an embedding is made of a checkpoint that does not say it."""
    if spec.pooling is not None:
        scaling = "scaled to length 1" if spec.inference.get("normalize_embeddings") else "not scaled to length 1"
        yield f"The checkpoint says nothing of pooling: the spec says {spec.pooling}, and embeddings are {scaling}."
    if task.kind != "dense" or checkpoint.modules:
        return
    if checkpoint.is_pooled:
        yield f"The checkpoint says nothing of pooling: embeddings are the graph's output {SENTENCE}, as it is."
        return
    last = any(str(name).endswith("ForCausalLM") for name in checkpoint.config.get("architectures") or ())
    what = "the hidden state of its last token" if last else "the mean of the hidden states of its tokens"
    yield f"The checkpoint says nothing of pooling: the embedding of a text is {what}, not scaled to length 1."


def code_notes(spec: Spec, code: Code) -> Iterator[str]:
    """Notes on what reviewed code means for the artifact, and for what could be checked here."""
    if code.classes:
        files = listed([file.path for file in code.files])
        yield f"Reviewed code goes along and runs with the consent of whoever loads the artifact: {files}."
    if MODEL in code.classes:
        yield "The model's class is reviewed code, which is not run here: names and shapes of tensors are not checked."
        if spec.dtype != "auto":
            yield f"Every tensor is cast to {spec.dtype}: what the model's own code keeps in float32 is not known here."
