"""A model that torch has loaded from a staging folder, made into a graph in its place, and held against it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import hfspec
from hfspec.artifact.writing import write_bytes
from hfspec.checkpoint.graphs.header import read_graph
from hfspec.errors import HfspecError
from hfspec.integrity.embedding_space import embedding_space
from hfspec.ir.artifact import Deployment, FileRecord, Manifest
from hfspec.ir.frozen import freeze
from hfspec.ir.plan import Plan
from hfspec.libraries.onnxruntime.examples import Examples, Inputs
from hfspec.libraries.onnxruntime.loading import FACTS, GRAPH, Graph
from hfspec.libraries.onnxruntime.measuring import Distance
from hfspec.libraries.onnxruntime.media_sources import MediaSource
from hfspec.libraries.onnxruntime.own_graph import allowed_difference, told_of_graph
from hfspec.libraries.onnxruntime.quantization import quantize, told
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.libraries.onnxruntime.runners.sentences import POOLING_MASK
from hfspec.libraries.onnxruntime.stand_ins import check_shapes, stand_in_weights
from hfspec.libraries.onnxruntime.torch_modules import COMPUTES, Source, module
from hfspec.libraries.onnxruntime.unheard import unheard
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.masks import MASK
from hfspec.runtime.patches.table import NONE
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.weight_formats import WEIGHT_FORMATS

MODEL = "model/"
WEIGHTS = (".safetensors", ".safetensors.index.json")
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
    computes = _computes(plan.deployment)
    is_alone = plan.graph_file is not None and not any(record.path.endswith(WEIGHTS) for record in files)
    with _refusals(), stand_in_weights(manifest, staging / MODEL) if is_alone else nullcontext():
        source = _source(manifest, staging, computes)
        examples = source.examples()
        torch_module = module(examples.names, source.compute, [source.owner.model])
        if plan.graph_file is None:
            _written(torch_module, examples, staging / MODEL / GRAPH, is_large=plan.weight_bytes > LARGE)
    space = embedding_space(staging, manifest) if _embeds(plan) and not is_alone else None
    for record in files:
        if record.path.endswith(WEIGHTS):
            (staging / record.path).unlink()
    beside = tuple(_beside(source, staging, told_of_graph(plan, staging / MODEL / GRAPH, computes)))
    graph = Graph(staging / MODEL, None)
    told_apart: dict[str, Any]
    note, quantized = "", {}
    if is_alone:
        check_shapes(_both(torch_module, examples.batches, graph))
        told_apart = {"compared": "not with weights: the source has none"}
    else:
        difference, compared = _compared(torch_module, examples.batches, graph, computes)
        allowed = allowed_difference(plan, difference, staging / MODEL / GRAPH)
        told_apart = {"difference": difference, "tolerance": allowed}
        quantized = _quantized(plan, manifest, staging, compared)
        note = (
            f"{MODEL}{GRAPH} computes what torch computes of the weights; over {examples.words} its numbers differ"
            f" by {difference:g} at most, and {'any distance' if allowed is None else f'{allowed:g}'} is allowed."
        )
    records = {record.path: record for record in (*beside, *(_records(staging) if plan.graph_file is None else ()))}
    rest = [record for record in files if not record.path.endswith(WEIGHTS) and record.path not in records]
    account = {
        "exporter": plan.graph_file or "torch.onnx, dynamo",
        "opset": read_graph(staging / MODEL / GRAPH).opsets.get("", 0),
        **told_apart,
        **({"quantization": quantized} if quantized else {}),
        **({} if space is None else {"weights_space": space}),
    }
    notes = (*plan.notes, *([note] if note else []), *([told(quantized)] if quantized else []))
    changed = replace(plan, graph=freeze(account), notes=notes)
    return changed, tuple(sorted([*rest, *records.values()], key=lambda record: record.path))


def _quantized(plan: Plan, manifest: Manifest, staging: Path, usual: Sequence[Inputs]) -> dict[str, Any]:
    """The manifest's account of a quantised graph; empty where the spec asks for none."""
    if plan.quantization is None or plan.graph_file is not None:
        return {}
    deployment = plan.deployment
    task = WEIGHT_FORMATS[deployment.format].task(deployment.library, deployment.task)
    assert task is not None, "validate lets no unknown task through"
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    return quantize(plan, request, _computes(deployment), usual)


def _embeds(plan: Plan) -> bool:
    task = table.find(plan.deployment.library, plan.deployment.task)
    return task is not None and task.embeds


def _computes(deployment: Deployment) -> str:
    """The kind of outputs of the task's graph."""
    task = table.find(deployment.library, deployment.task)
    tasks = WEIGHT_FORMATS[deployment.format].tasks
    assert task is not None, "validate lets no unknown task through"
    assert tasks is not None, "a format that exports says which tasks it has"
    return tasks[task.library, task.name].computes


def _source(manifest: Manifest, staging: Path, computes: str) -> Source | MediaSource:
    deployment = manifest.deployment
    task = table.find(deployment.library, deployment.task)
    assert task is not None, "validate lets no unknown task through"
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    return COMPUTES[computes](LIBRARIES[task.library].part("loading")(request))


def _written(torch_module: Any, examples: Examples, path: Path, *, is_large: bool) -> None:
    """The graph in a file, without what torch notes of this machine."""
    import torch

    tensors = tuple(map(torch.from_numpy, examples.example.values()))
    shapes = tuple(dict(examples.axes) for _ in tensors)
    names = list(examples.names)
    with quiet(), unheard("torch.onnx", "onnxscript", "onnx_ir"), torch.no_grad():
        program = torch.onnx.export(
            torch_module, tensors, dynamo=True, input_names=names, dynamic_shapes=(shapes,), verbose=False
        )
    _cleaned(program.model)
    program.save(str(path), external_data=is_large)


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


def _compared(
    torch_module: Any, batches: Sequence[Inputs], graph: Graph, computes: str
) -> tuple[float, tuple[Inputs, ...]]:
    """The largest difference between the graph's numbers and torch's, and the batches as the graph takes them."""
    distance = Distance(computes)
    for inputs, torch_arrays, graph_arrays in _both(torch_module, batches, graph):
        distance.add(inputs, torch_arrays, graph_arrays)
    return distance.difference, tuple(_taken(inputs, graph) for inputs in batches)


def _taken(inputs: Inputs, graph: Graph) -> Inputs:
    return {name: inputs[name] for name in inputs if name in graph.inputs}


def _both(
    torch_module: Any, batches: Sequence[Inputs], graph: Graph
) -> Iterator[tuple[Inputs, Sequence[Any], Sequence[Any]]]:
    """Each batch with torch's numbers and the graph's."""
    import torch

    for inputs in batches:
        with torch.no_grad():
            answer = torch_module(*map(torch.from_numpy, inputs.values()))
        torch_arrays = [side.numpy() for side in (answer if isinstance(answer, tuple) else (answer,))]
        graph_arrays = graph.run(_taken(inputs, graph))
        if graph.pooling is not None:
            graph_arrays = [graph.pooled(graph_arrays[0], inputs.get(POOLING_MASK, inputs[MASK]))]
        yield inputs, torch_arrays, graph_arrays


def _beside(source: Source | MediaSource, staging: Path, told_of: Mapping[str, Any]) -> Iterator[FileRecord]:
    """The tokenizer as it was in use, where there is one, and what the graph's runner is told."""
    facts = json.dumps({**source.facts(), **told_of}, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
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
    """Raise torch's error over a model that it cannot export as a problem of the spec."""
    try:
        yield
    except (HfspecError, OSError, MemoryError):
        raise
    except Exception as error:  # the exporter raises errors of many kinds
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        reason = lines[0][:300] if lines else type(error).__name__
        raise refusal(f"torch.onnx cannot export this model: {reason}.") from error
