"""A model that torch has loaded from a staging folder, made into a graph in its place, and held against it."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfspec.artifact.writing import write_bytes
from hfspec.errors import HfspecError, SpecError
from hfspec.integrity.embedding_space import embedding_space
from hfspec.ir.artifact import FileRecord, Manifest
from hfspec.ir.frozen import FrozenDict, freeze
from hfspec.ir.plan import Plan
from hfspec.ir.problem import Problem
from hfspec.ir.spec_keys import Quantization
from hfspec.libraries.onnxruntime.loading import FACTS, GRAPH, session
from hfspec.libraries.onnxruntime.tokenizer import TOKENIZER
from hfspec.libraries.onnxruntime.torch_modules import COMPUTES, Source, module, refusal
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
    with _refusals():
        source = _source(plan, manifest, staging)
        names, rows = _inputs(source)
        torch_module = module(names, source.compute, [source.owner.model])
        example = filled(rows[1:3], source.pad, "right", names)
        opset = _written(torch_module, example, staging / MODEL / GRAPH, is_large=plan.weight_bytes > LARGE)
        difference = _difference(torch_module, names, rows, source, staging)
        _check_graph(difference)
        quantized = _quantized(plan.quantization, staging / MODEL / GRAPH, is_large=plan.weight_bytes > LARGE)
        if quantized:
            quantized["difference"] = _difference(torch_module, names, rows, source, staging)
            _check_quantized(plan.quantization, quantized["difference"])
    space = embedding_space(staging, manifest) if _embeds(plan) else None
    kept = [record for record in files if not _is_replaced(record.path)]
    for record in files:
        if record.path.endswith(WEIGHTS):
            (staging / record.path).unlink()
    made = [*_beside(source, staging), *_records(staging)]
    account = {
        "exporter": "torch.onnx, dynamo",
        "opset": opset,
        "difference": difference,
        "tolerance": TOLERANCE,
        **({"quantization": quantized} if quantized else {}),
        **({} if space is None else {"weights_space": space}),
    }
    note = (
        f"{MODEL}{GRAPH} computes what torch computes of the weights; over texts of several lengths its numbers"
        f" differ by {difference:g} at most, and {TOLERANCE:g} is allowed."
    )
    said = (
        f"Quantised by {quantized['method']}, they differ by {quantized['difference']:g} at most." if quantized else ""
    )
    changed = replace(plan, graph=freeze(account), notes=(*plan.notes, " ".join(filter(None, (note, said)))))
    return changed, tuple(sorted([*kept, *made], key=lambda record: record.path))


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


def _source(plan: Plan, manifest: Manifest, staging: Path) -> Source:
    deployment = plan.deployment
    task = table.find(deployment.library, deployment.task)
    tasks = WEIGHT_FORMATS[deployment.format].tasks
    assert task is not None, "validate lets no unknown task through"
    assert tasks is not None, "a format that exports says which tasks it has"
    request = LoadRequest(staging, manifest, task, deployment.dtype, "cpu", patches=NONE)
    runner = LIBRARIES[task.library].part("loading")(request)
    return COMPUTES[tasks[task.library, task.name].computes](runner)


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


def _written(torch_module: Any, example: Mapping[str, Any], path: Path, *, is_large: bool) -> int:
    """The graph in a file, without what torch notes of this machine; returns its opset."""
    import torch

    tensors = tuple(map(torch.from_numpy, example.values()))
    shapes = tuple({0: "rows", 1: "tokens"} for _ in example)
    with quiet(), _unheard("torch.onnx", "onnxscript", "onnx_ir"), torch.no_grad():
        program = torch.onnx.export(
            torch_module, tensors, dynamo=True, input_names=list(example), dynamic_shapes=(shapes,), verbose=False
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


def _difference(
    torch_module: Any, names: Sequence[str], rows: Sequence[Tokens], source: Source, staging: Path
) -> float:
    """The largest difference between the graph's numbers and torch's, in two digits."""
    import numpy as np
    import torch

    made = session(staging / MODEL / GRAPH)
    taken = {value.name for value in made.get_inputs()}
    largest = 0.0
    for batch in _batches(rows):
        inputs = filled(batch, source.pad, "right", names)
        with torch.no_grad():
            answer = torch_module(*(torch.from_numpy(inputs[name]) for name in names))
        wanted = [side.numpy() for side in (answer if isinstance(answer, tuple) else (answer,))]
        found = made.run(None, {name: array for name, array in inputs.items() if name in taken})
        lengths = [len(row["input_ids"]) for row in batch]
        for one, other in zip(wanted, found, strict=True):
            largest = max(largest, _apart(np, one, other, lengths))
    return float(f"{largest:.1e}")


def _check_graph(difference: float) -> None:
    if not difference <= TOLERANCE:
        raise refusal(
            "The graph's answers are not those that torch computes of the same weights.",
            expected=f"numbers at most {TOLERANCE:g} apart",
            found=f"{difference:.2g}",
        )


def _quantized(asked: Quantization | None, graph: Path, *, is_large: bool) -> dict[str, Any]:
    """The graph quantised in its place, as the manifest tells it; empty where nobody asks for it.

    Weights of 7 bits: processors without VNNI add up two products of 8 bits in 16, which would overflow, and give other
    answers (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    if asked is None:
        return {}
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = graph.with_name(f"quantized-{graph.name}")
    with quiet(), _unheard("root"):
        quantize_dynamic(
            graph,
            made,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            use_external_data_format=is_large,
        )
    for old in graph.parent.glob(f"{graph.name}*"):
        old.unlink()
    made.rename(graph)
    return {"method": asked.method, "tolerance": asked.tolerance}


def _check_quantized(asked: Quantization | None, difference: float) -> None:
    most = None if asked is None else asked.tolerance
    if most is not None and not difference <= most:
        raise SpecError(
            [
                Problem(
                    "format",
                    "The quantised graph's answers are too far from those of float32.",
                    path=("quantization", "tolerance"),
                    expected=f"numbers at most {most:g} apart",
                    found=f"{difference:.2g}",
                    remedy="Raise `tolerance`, or leave out `quantization`.",
                )
            ]
        )


def _apart(np: Any, one: Any, other: Any, lengths: Sequence[int]) -> float:
    """The largest difference, over the largest number where that is above 1; of answers a token without padding."""
    if one.shape != other.shape:
        return float("inf")
    per_token = one.ndim > 1 and one.shape[1] == max(lengths) and len(set(lengths)) > 1
    parts = [(one[place, :length], other[place, :length]) for place, length in enumerate(lengths)]
    found = 0.0
    for mine, theirs in parts if per_token else [(one, other)]:
        if not np.array_equal(np.isfinite(mine), np.isfinite(theirs)):
            return float("inf")
        counted = np.isfinite(mine)
        scale = max(1.0, float(np.abs(mine[counted]).max(initial=0)))
        found = max(found, float(np.abs(mine[counted] - theirs[counted]).max(initial=0)) / scale)
    return found


def _is_replaced(path: str) -> bool:
    return path.endswith(WEIGHTS) or path == f"{MODEL}{TOKENIZER}"


def _beside(source: Source, staging: Path) -> Iterator[FileRecord]:
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
