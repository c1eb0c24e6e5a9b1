"""A model that torch has loaded from a staging folder, made into a graph in its place, and held against it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import hfspec
from hfspec.artifact.writing import write_bytes
from hfspec.errors import HfspecError
from hfspec.integrity.embedding_space import embedding_space
from hfspec.ir.artifact import FileRecord, Manifest
from hfspec.ir.frozen import freeze
from hfspec.ir.plan import Plan
from hfspec.libraries.onnxruntime.examples import Examples, Inputs
from hfspec.libraries.onnxruntime.loading import FACTS, GRAPH, session
from hfspec.libraries.onnxruntime.media_sources import MediaSource
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.libraries.onnxruntime.torch_modules import COMPUTES, Source, module
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.masks import MASK
from hfspec.runtime.patches.table import NONE
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.weight_formats import WEIGHT_FORMATS

MODEL = "model/"
WEIGHTS = (".safetensors", ".safetensors.index.json")
TOLERANCE = 1e-4  # of an answer's numbers, or of the largest of them where that is above 1
LARGE = 1 << 30  # bytes of weights, above which they lie beside the graph: protobuf takes 2 GB


def export(plan: Plan, files: Sequence[FileRecord], staging: Path) -> tuple[Plan, tuple[FileRecord, ...]]:
    """The plan and the files of an artifact whose model is a graph.

    Args:
        plan: What was planned.
        files: The files in ``staging``, the model's weights among them.
        staging: The folder of the artifact to be.

    Returns:
        The plan with what is to be recorded of the graph, and the files with the graph in the weights' place.

    Raises:
        SpecError: The model cannot be exported, or the graph's answers are not torch's.
    """
    manifest = plan.manifest(files, hfspec.__version__)  # as torch would load it
    with _refusals():
        source = _source(plan, manifest, staging)
        examples = source.examples()
        torch_module = module(examples.names, source.compute, [source.owner.model])
        opset = _written(torch_module, examples, staging / MODEL / GRAPH, is_large=plan.weight_bytes > LARGE)
        difference = _difference(torch_module, examples.batches, staging)
    space = embedding_space(staging, manifest) if _embeds(plan) else None
    for record in files:
        if record.path.endswith(WEIGHTS):
            (staging / record.path).unlink()
    made = {record.path: record for record in (*_beside(source, staging), *_records(staging))}
    kept = [record for record in files if not record.path.endswith(WEIGHTS) and record.path not in made]
    account = {
        "exporter": "torch.onnx, dynamo",
        "opset": opset,
        "difference": difference,
        "tolerance": TOLERANCE,
        **({} if space is None else {"weights_space": space}),
    }
    note = (
        f"{MODEL}{GRAPH} computes what torch computes of the weights; over {examples.words} its numbers"
        f" differ by {difference:g} at most, and {TOLERANCE:g} is allowed."
    )
    changed = replace(plan, graph=freeze(account), notes=(*plan.notes, note))
    return changed, tuple(sorted([*kept, *made.values()], key=lambda record: record.path))


def _embeds(plan: Plan) -> bool:
    task = table.find(plan.deployment.library, plan.deployment.task)
    return task is not None and task.embeds


def _source(plan: Plan, manifest: Manifest, staging: Path) -> Source | MediaSource:
    deployment = plan.deployment
    task = table.find(deployment.library, deployment.task)
    tasks = WEIGHT_FORMATS[deployment.format].tasks
    assert task is not None, "validate lets no unknown task through"
    assert tasks is not None, "a format that exports says which tasks it has"
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    runner = LIBRARIES[task.library].part("loading")(request)
    return COMPUTES[tasks[task.library, task.name].computes](runner)


def _written(torch_module: Any, examples: Examples, path: Path, *, is_large: bool) -> int:
    """The graph in a file, without what torch notes of this machine; returns its opset."""
    import torch

    tensors = tuple(map(torch.from_numpy, examples.example.values()))
    shapes = tuple(dict(examples.axes) for _ in tensors)
    names = list(examples.names)
    with quiet(), _unheard("torch.onnx", "onnxscript", "onnx_ir"), torch.no_grad():
        program = torch.onnx.export(
            torch_module, tensors, dynamo=True, input_names=names, dynamic_shapes=(shapes,), verbose=False
        )
    _cleaned(program.model)
    program.save(str(path), external_data=is_large)
    return int(program.model.opset_imports[""])


@contextmanager
def _unheard(*names: str) -> Iterator[None]:
    """The exporter tells those who write models how it went, by warnings and by loggers of these names."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _cleaned(model: Any) -> None:
    """Without the places and traces that the exporter notes, so that the same model is the same bytes."""
    model.producer_version = model.doc_string = None
    model.metadata_props.clear()
    model.graph.metadata_props.clear()
    for function in model.functions.values():
        function.metadata_props.clear()
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        node.doc_string = None
        for value in node.outputs:
            value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.initializers.values()):
        value.metadata_props.clear()


def _difference(torch_module: Any, batches: Sequence[Inputs], staging: Path) -> float:
    """The largest difference between the graph's numbers and torch's, rounded up to two digits.

    Raises SpecError where it is beyond the tolerance.
    """
    import torch

    made = session(staging / MODEL / GRAPH)
    taken = {value.name for value in made.get_inputs()}
    largest = 0.0
    for inputs in batches:
        with torch.no_grad():
            answer = torch_module(*map(torch.from_numpy, inputs.values()))
        wanted = [side.numpy() for side in (answer if isinstance(answer, tuple) else (answer,))]
        found = made.run(None, {name: array for name, array in inputs.items() if name in taken})
        largest = max(largest, *(_apart(one, other, inputs) for one, other in zip(wanted, found, strict=True)))
    if not largest <= TOLERANCE:
        raise refusal(
            "The graph's answers are not those that torch computes of the same weights.",
            expected=f"numbers at most {TOLERANCE:g} apart",
            found=f"{largest:.2g}",
        )
    return float(f"{largest:.1e}")


def _apart(one: Any, other: Any, inputs: Inputs) -> float:
    """The largest difference, over the largest number where that is above 1; of answers a token without padding."""
    import numpy as np

    if one.shape != other.shape:
        return float("inf")
    lengths = [int(line.sum()) for line in inputs.get(MASK, ())]
    per_token = one.ndim > 1 and len(set(lengths)) > 1 and one.shape[1] == max(lengths)
    parts = [(one[place, :length], other[place, :length]) for place, length in enumerate(lengths)]
    found = 0.0
    for mine, theirs in parts if per_token else [(one, other)]:
        counted = np.isfinite(mine)
        if not np.array_equal(counted, np.isfinite(theirs)):
            return float("inf")
        scale = max(1.0, float(np.abs(mine[counted]).max(initial=0)))
        found = max(found, float(np.abs(mine[counted] - theirs[counted]).max(initial=0)) / scale)
    return found


def _beside(source: Source | MediaSource, staging: Path) -> Iterator[FileRecord]:
    """The tokenizer as it was in use, where there is one, and what the graph's runner is told."""
    facts = json.dumps(source.facts(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    for name, content in {**source.files(), FACTS: facts.encode()}.items():
        path = f"{MODEL}{name}"
        (staging / path).unlink(missing_ok=True)
        yield write_bytes(path, content, staging / path)


def _records(staging: Path) -> Iterator[FileRecord]:
    """The graph and the weights beside it."""
    for path in sorted((staging / MODEL).glob(f"{GRAPH}*")):
        path.chmod(0o644)
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            os.fsync(file.fileno())
        yield FileRecord(f"{MODEL}{path.name}", path.stat().st_size, digest)


@contextmanager
def _refusals() -> Iterator[None]:
    """What torch raises over a model that it cannot export, as a problem of the spec."""
    try:
        yield
    except (HfspecError, OSError, MemoryError):
        raise
    except Exception as error:  # the exporter raises errors of many kinds
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        said = lines[0][:300] if lines else type(error).__name__
        raise refusal(f"torch.onnx cannot export this model: {said}.") from error
