"""A model that torch loads from a staging folder, made into a graph in its place."""

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
from hfspec.ir.artifact import FileRecord
from hfspec.ir.frozen import freeze
from hfspec.ir.plan import Plan
from hfspec.libraries.onnxruntime.comparing import Pair, compare_numbers, compare_shapes
from hfspec.libraries.onnxruntime.examples import Drawing, Examples
from hfspec.libraries.onnxruntime.loading import FACTS, GRAPH, Graph, PlainGraph
from hfspec.libraries.onnxruntime.own_graph import run_on_examples, told_of_graph
from hfspec.libraries.onnxruntime.quantization import note, quantize
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.libraries.onnxruntime.stand_ins import stand_in_weights
from hfspec.libraries.onnxruntime.torch_modules import COMPUTES, AnySource, module
from hfspec.libraries.onnxruntime.unheard import unheard
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.request import LoadRequest
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
    deployment, model = plan.deployment, staging / MODEL
    task = table.find(deployment.library, deployment.task)
    assert task is not None, "validate lets no unknown task through"
    computes = WEIGHT_FORMATS[deployment.format].computes(task)
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    weights = [record.path for record in files if record.path.endswith(WEIGHTS)]
    is_alone = plan.graph_file is not None and not weights
    with _refusals(), stand_in_weights(manifest, model) if is_alone else nullcontext():
        source: AnySource = COMPUTES[computes](LIBRARIES[task.library].part("loading")(request))
        drawn = [(drawing, module(drawing, [source.owner.model])) for drawing in source.drawings(computes)]
        if plan.graph_file is None:
            for drawing, torch_module in drawn:
                is_large = plan.weight_bytes > LARGE
                write_graph(torch_module, drawing.examples, model / drawing.file, is_large=is_large)
    space = embedding_space(staging, manifest) if task.embeds and not is_alone else None
    for path in weights:
        (staging / path).unlink()
    beside = tuple(_write_beside(source, staging, told_of_graph(plan, model / GRAPH, computes)))
    with run_on_examples(plan):
        pairs = [Pair(drawing, torch_module, _graph(model, drawing)) for drawing, torch_module in drawn]
        compared = compare_shapes(pairs) if is_alone else compare_numbers(pairs, plan, model)
    quantized = _quantized(plan, request, pairs)
    account = {
        "exporter": plan.graph_file or "torch.onnx, dynamo",
        "opset": read_graph(model / GRAPH).opsets.get("", 0),
        **compared.account,
        **({"quantization": quantized} if quantized else {}),
        **({} if space is None else {"weights_space": space}),
    }
    notes = (*plan.notes, *compared.notes, *([note(quantized)] if quantized else []))
    written = (*beside, *(_records(model) if plan.graph_file is None else ()))
    records = {record.path: record for record in (*files, *written) if record.path not in weights}
    return replace(plan, graph=freeze(account), notes=notes), tuple(records[path] for path in sorted(records))


def _graph(model: Path, drawing: Drawing) -> PlainGraph:
    """The graph with what stands beside it, where its runner needs that."""
    return Graph(model, None) if (model / FACTS).is_file() else PlainGraph(model / drawing.file, None)


def _quantized(plan: Plan, request: LoadRequest, pairs: Sequence[Pair]) -> dict[str, Any]:
    """The manifest's account of a quantised graph; empty where the spec asks for none."""
    if plan.quantization is None or plan.graph_file is not None:
        return {}
    (pair,) = pairs  # validate lets no model of several be quantised
    task = WEIGHT_FORMATS[plan.deployment.format].task(request.task.library, request.task.name)
    assert task is not None, "the format has the task, since it made its graph"
    return quantize(plan, replace(request, task=task), pair.drawing.computes, pair.graph_batches())


def write_graph(torch_module: Any, examples: Examples, path: Path, *, is_large: bool) -> None:
    """The graph in a file, without what torch notes of this machine."""
    import torch

    tensors = tuple(map(torch.from_numpy, examples.example.values()))
    names = list(examples.names)
    shapes = tuple(dict(examples.axes[name]) for name in names)
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


def _write_beside(source: AnySource, staging: Path, told_of: Mapping[str, Any]) -> Iterator[FileRecord]:
    """The tokenizer as it was in use, where there is one, and what the graph's runner is told."""
    contents = dict(source.files())
    if facts := {**source.facts(), **told_of}:
        contents[FACTS] = f"{json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False)}\n".encode()
    for name, content in contents.items():
        path = f"{MODEL}{name}"
        (staging / path).unlink(missing_ok=True)
        yield write_bytes(path, content, staging / path)


def _records(model: Path) -> Iterator[FileRecord]:
    """The graphs and the weights beside them."""
    for path in sorted(model.glob("*.onnx*")):
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
