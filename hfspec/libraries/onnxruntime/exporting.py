"""A model that torch has loaded from a staging folder, made into a graph in its place, and held against it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfspec.artifact.writing import write_bytes
from hfspec.errors import HfspecError, SpecError
from hfspec.integrity.embedding_space import embedding_space
from hfspec.ir.artifact import Deployment, FileRecord, Manifest
from hfspec.ir.frozen import FrozenDict, freeze
from hfspec.ir.plan import Plan
from hfspec.ir.problem import KeyPath, Problem
from hfspec.libraries.onnxruntime.loading import FACTS, GRAPH, Graph
from hfspec.libraries.onnxruntime.measuring import Distance
from hfspec.libraries.onnxruntime.own_graph import answering, is_quantised
from hfspec.libraries.onnxruntime.quantization import Batch, quantize, told
from hfspec.libraries.onnxruntime.runners import POOLING_MASK
from hfspec.libraries.onnxruntime.tokenizer import TOKENIZER
from hfspec.libraries.onnxruntime.torch_modules import COMPUTES, Source, module, refusal
from hfspec.libraries.onnxruntime.unheard import unheard
from hfspec.libraries.onnxruntime_genai.graph import read_graph
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.table import NONE
from hfspec.runtime.text.token_batch import filled
from hfspec.runtime.text.tokens import Tokens, encode
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.weight_formats import WEIGHT_FORMATS

MODEL = "model/"
WEIGHTS = (".safetensors", ".safetensors.index.json")
TOLERANCE = 1e-4  # of an answer's numbers, or of the largest of them where that is above 1
LARGE = 1 << 30  # bytes of weights, above which they lie beside the graph: protobuf takes 2 GB
# Texts of several lengths, told to read together and alone.
SENTENCES = (
    "yes",
    "a short text of a few words",
    "The quick brown fox jumps over the lazy dog, and then it rests. " * 3,
)
LONG = "one two three four five six seven eight nine ten " * 30


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
    manifest = _manifest(plan, files)
    computes = _computes(plan.deployment)
    with _refusals():
        source = _source(manifest, staging, computes)
        names, rows = _inputs(source)
        torch_module = module(names, source.compute, [source.owner.model])
        if plan.graph_file is None:
            example = filled(rows[1:3], source.pad, "right", names)
            _written(torch_module, example, staging / MODEL / GRAPH, is_large=plan.weight_bytes > LARGE)
    space = embedding_space(staging, manifest) if _embeds(plan) else None
    kept = [record for record in files if not _is_replaced(record.path)]
    for record in files:
        if record.path.endswith(WEIGHTS):
            (staging / record.path).unlink()
    told_of = _answering(plan, staging, computes)
    beside = tuple(_beside(source, staging, told_of))
    batches = [filled(batch, source.pad, "right", names) for batch in _batches(rows)]
    difference, compared = _compared(torch_module, batches, Graph(staging / MODEL, None), computes)
    read = read_graph(staging / MODEL / GRAPH)
    allowed = _check(plan, difference, is_quantised=is_quantised(read))
    quantized = _quantized(plan, manifest, staging, compared)
    account = {
        "exporter": plan.graph_file or "torch.onnx, dynamo",
        "opset": read.opsets.get("", 0),
        "difference": difference,
        "tolerance": allowed,
        **({"quantization": quantized} if quantized else {}),
        **({} if space is None else {"weights_space": space}),
    }
    note = (
        f"{MODEL}{GRAPH} computes what torch computes of the weights; over texts of several lengths its numbers"
        f" differ by {difference:g} at most, and {'any distance' if allowed is None else f'{allowed:g}'} is allowed."
    )
    notes = (*plan.notes, note, *([told(quantized)] if quantized else []))
    changed = replace(plan, graph=freeze(account), notes=notes)
    made = _records(staging) if plan.graph_file is None else ()
    return changed, tuple(sorted([*kept, *beside, *made], key=lambda record: record.path))


def _answering(plan: Plan, staging: Path, computes: str) -> dict[str, Any]:
    """What the runner is told of a graph that was made elsewhere; raises SpecError where it cannot answer."""
    if plan.graph_file is None:
        return {}
    try:
        return answering(staging / MODEL / GRAPH, computes)
    except ValueError as error:
        remedy = "Remove `file`, so that compile makes a graph with the modules in it."
        path: KeyPath = ("model", "file")
        raise SpecError([Problem("format", f"{plan.graph_file}: {error}.", path=path, remedy=remedy)]) from error


def _quantized(plan: Plan, manifest: Manifest, staging: Path, usual: Sequence[Batch]) -> dict[str, Any]:
    """What the manifest says of a graph that was quantised; empty where nobody asks for it."""
    if plan.quantization is None or plan.graph_file is not None:
        return {}
    deployment = plan.deployment
    task = WEIGHT_FORMATS[deployment.format].task(deployment.library, deployment.task)
    assert task is not None, "validate lets no unknown task through"
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    return quantize(plan, request, _computes(deployment), usual)


def _manifest(plan: Plan, files: Sequence[FileRecord]) -> Manifest:
    """Of the artifact as torch would load it."""
    return Manifest(
        name=plan.name,
        spec_digest=plan.spec_digest,
        sources=plan.sources,
        deployment=plan.deployment,
        signature=plan.signature,
        files=tuple(files),
        versions=plan.versions,
        made_by=FrozenDict(),
        metadata=FrozenDict(),
    )


def _embeds(plan: Plan) -> bool:
    task = table.find(plan.deployment.library, plan.deployment.task)
    return task is not None and task.embeds


def _computes(deployment: Deployment) -> str:
    """What the task's graph computes."""
    task = table.find(deployment.library, deployment.task)
    tasks = WEIGHT_FORMATS[deployment.format].tasks
    assert task is not None, "validate lets no unknown task through"
    assert tasks is not None, "a format that exports says which tasks it has"
    return tasks[task.library, task.name].computes


def _source(manifest: Manifest, staging: Path, computes: str) -> Source:
    deployment = manifest.deployment
    task = table.find(deployment.library, deployment.task)
    assert task is not None, "validate lets no unknown task through"
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    return COMPUTES[computes](LIBRARIES[task.library].part("loading")(request))


def _inputs(source: Source) -> tuple[list[str], list[Tokens]]:
    """The names of the graph's inputs, and rows of tokens of several lengths."""
    import inspect

    takes = inspect.signature(source.owner.model.forward).parameters
    most = source.most
    texts = [*SENTENCES, LONG]
    made = encode(source.owner.tokenizer, texts, truncation=True, max_length=most)
    rows = [{name: ids for name, ids in row.items() if name in takes} for row in made]
    for row in rows:
        length = len(row["input_ids"])
        row.update({name: [1] * length for name in source.inputs})
        if "token_type_ids" in row:
            row["token_type_ids"] = (
                [0] * (length // 2) + [1] * (length - length // 2) if _has_two_types(source) else [0] * length
            )
    return list(rows[0]), rows


def _has_two_types(source: Source) -> bool:
    return int(getattr(source.owner.model.config, "type_vocab_size", 0) or 0) > 1


def _batches(rows: Sequence[Tokens]) -> Iterator[Sequence[Tokens]]:
    """Each row alone, all of them together, and the shorter ones."""
    for row in rows:
        yield [row]
    yield rows
    yield rows[:2]


def _written(torch_module: Any, example: Mapping[str, Any], path: Path, *, is_large: bool) -> None:
    """The graph in a file, without what torch notes of this machine."""
    import torch

    tensors = tuple(map(torch.from_numpy, example.values()))
    shapes = tuple({0: "rows", 1: "tokens"} for _ in example)
    with quiet(), unheard("torch.onnx", "onnxscript", "onnx_ir"), torch.no_grad():
        program = torch.onnx.export(
            torch_module, tensors, dynamo=True, input_names=list(example), dynamic_shapes=(shapes,), verbose=False
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
    torch_module: Any, batches: Sequence[Batch], graph: Graph, computes: str
) -> tuple[float, tuple[Batch, ...]]:
    """The largest difference between the graph's numbers and torch's, and the batches as the graph takes them."""
    import torch

    given = tuple({name: inputs[name] for name in inputs if name in graph.inputs} for inputs in batches)
    distance = Distance(computes)
    for inputs, batch in zip(batches, given, strict=True):
        with torch.no_grad():
            answer = torch_module(*map(torch.from_numpy, inputs.values()))
        wanted = [side.numpy() for side in (answer if isinstance(answer, tuple) else (answer,))]
        found = graph.run(batch)
        if graph.pooling is not None:
            found = [graph.pooled(found[0], inputs.get(POOLING_MASK, inputs["attention_mask"]))]
        distance.add(inputs, wanted, found)
    return distance.difference, given


def _check(plan: Plan, difference: float, *, is_quantised: bool) -> float | None:
    """The difference that is allowed; raises SpecError beyond it."""
    stored = plan.quantization if plan.graph_file is not None else None
    allowed = TOLERANCE if stored is None else stored.tolerance
    if allowed is None or difference <= allowed:
        return allowed
    expected, found = f"numbers at most {allowed:g} apart", f"{difference:.2g}"
    message = "The graph's answers are not those that torch computes of the same weights."
    if plan.graph_file is None:
        raise refusal(message, expected=expected, found=found)
    again = f"Write `quantization: {{method: stored, tolerance: {difference:.1g}}}` to allow for it"
    remedy = f"{again}, or take" if is_quantised else "Take"
    path: KeyPath = ("model", "file") if stored is None else ("quantization", "tolerance")
    remedy = f"{remedy} another graph, or remove `file`."
    raise SpecError([Problem("format", message, path=path, expected=expected, found=found, remedy=remedy)])


def _is_replaced(path: str) -> bool:
    return path.endswith(WEIGHTS) or path == f"{MODEL}{TOKENIZER}"


def _beside(source: Source, staging: Path, answering: Mapping[str, Any]) -> Iterator[FileRecord]:
    """The tokenizer as it was in use, and what the graph's runner is told."""
    tokenizer = source.owner.tokenizer.backend_tokenizer
    tokenizer.no_truncation()
    tokenizer.no_padding()
    facts = {
        "attributes": source.attributes(),
        "config": source.config(),
        "pad": dict(source.pad),
        "sees_padding": source.sees_padding(),
        "tokenizer": source.tokenizer(),
        **answering,
    }
    contents: Mapping[str, bytes] = {
        TOKENIZER: tokenizer.to_str(pretty=True).encode(),
        FACTS: (json.dumps(facts, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(),
    }
    for name, content in contents.items():
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
