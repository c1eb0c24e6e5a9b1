"""A graph that a checkpoint's source has already: whether it fits, and what of its outputs answers the task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from hfspec.checkpoint.graphs.header import SENTENCE as VECTORS
from hfspec.checkpoint.graphs.header import Graph, read_graph
from hfspec.checkpoint.graphs.opsets import check_opsets
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.spec_sources import Sources
from hfspec.checkpoint.weights.weight_files import has_weights
from hfspec.errors import SpecError
from hfspec.formats.sentence_modules import read
from hfspec.ir.plan import CopyFile, Plan
from hfspec.ir.problem import KeyPath, Problem
from hfspec.libraries.onnxruntime.loading import GRAPH
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.tasks.weight_formats import WEIGHT_FORMATS

BROKEN = "broken-checkpoint"
AT: KeyPath = ("model", "file")
TOLERANCE = 1e-4  # of an answer's numbers, or of the largest of them where that is above 1
AGAIN = "fetch the file again, or take another graph of the source"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
INTEGERS = ("int64", "int32")
TOKENS = ("last_hidden_state", "token_embeddings")
# Kind of outputs -> the graph outputs that hold it, the best first; a task reads one of them, or several together.
OUTPUTS: Mapping[str, Sequence[tuple[str, ...]]] = {
    "logits": (("logits",),),
    "scores": (("logits",),),
    "sentence vectors": ((VECTORS,), *((name,) for name in TOKENS)),
    "spans": (("start_logits", "end_logits"),),
    "states": tuple((name,) for name in TOKENS),
    "token logits": (("logits",),),
}
# Operators of weights in fewer bits.
QUANTISED = ("DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "MatMulNBits", "QLinearMatMul")
POOLING, NORMALIZE = "Pooling", "Normalize"


def steps(sources: Sources) -> tuple[CopyFile, ...]:
    """Examine the graph that a spec names.

    Args:
        sources: The spec and the files of its sources.

    Returns:
        What puts the graph and its data into the artifact; nothing where the spec names none.

    Raises:
        SpecError: With everything about the graph that does not fit.
        SourceError: When it cannot be read.
    """
    file = sources.spec.model.file
    if file is None:
        return ()
    files = sources.model
    graph = _graph(files, file)
    computes = WEIGHT_FORMATS[sources.spec.format].computes(sources.task)
    if problems := [
        *_value_problems(files, file, graph, computes),
        *_pooling_problems(sources, file, graph, computes),
        *_data_problems(files, file, graph),
        *_opset_problems(files, file, graph),
        *_vocabulary_problems(files, file, graph),
    ]:
        raise SpecError(tuple(problems))
    folder = PurePosixPath(file).parent
    beside = sorted({one.location for one in graph.external})
    pins = [(GRAPH, files.file(file)), *((name, files.file((folder / name).as_posix())) for name in beside)]
    return tuple(CopyFile(f"model/{name}", files.role, pin.path, pin.size, pin.sha256) for name, pin in pins)


def told_of_graph(plan: Plan, path: Path, computes: str) -> dict[str, Any]:
    """State the facts that the runner needs of a graph made elsewhere.

    Args:
        plan: The plan of the compile.
        path: The graph, in the folder of the model.
        computes: The kind of outputs that the task needs.

    Returns:
        The outputs that are read, and how token vectors become those of a sentence where the graph leaves that open;
        nothing for a graph that compile has made.

    Raises:
        SpecError: With the reason, where that needs weights beside it.
    """
    if plan.graph_file is None:
        return {}
    outputs = _outputs({value.name for value in read_graph(path).outputs}, computes)
    if computes != "sentence vectors" or outputs == (VECTORS,):
        return {"outputs": list(outputs)}
    checkpoint = read(path.parent, causal=False)
    kinds = [] if checkpoint is None else [module.kind for module in checkpoint.modules]
    if checkpoint is None or kinds[:1] != [POOLING] or set(kinds[1:]) - {NORMALIZE}:
        message = (
            f"{plan.graph_file} gives vectors of tokens, and what makes one of a sentence of them is"
            f" {', '.join(kinds) or 'not known'}."
        )
        remedy = "Remove `file`, so that compile makes a graph with the modules in it."
        raise SpecError([Problem("format", message, path=AT, remedy=remedy)])
    config = checkpoint.modules[0].config
    return {"outputs": list(outputs), "pooling": {"config": dict(config), "normalize": NORMALIZE in kinds}}


@contextmanager
def run_on_examples(plan: Plan) -> Iterator[None]:
    """Raise the error of onnxruntime over a graph of the source as a problem of the spec."""
    try:
        yield
    except (SpecError, MemoryError, OSError):
        raise
    except Exception as error:  # the library raises errors of its own, all below Exception
        if plan.graph_file is None:
            raise
        lines = str(error.__cause__ or error).strip().splitlines()
        reason = lines[0][:300].rstrip(".") if lines else type(error).__name__
        message = f"onnxruntime cannot run {plan.graph_file} on plain texts: {reason}."
        remedy = "Take another graph of the source, or make one of the weights without `file`."
        raise SpecError([Problem("format", message, path=AT, remedy=remedy)]) from error


def allowed_difference(plan: Plan, difference: float, path: Path) -> float | None:
    """Hold a graph's difference from torch's numbers against what is allowed.

    Args:
        plan: The plan of the compile.
        difference: The largest one that was found.
        path: The graph.

    Returns:
        What is allowed; None for any.

    Raises:
        SpecError: It is more.
    """
    stored = plan.quantization if plan.graph_file is not None else None
    allowed = TOLERANCE if stored is None else stored.tolerance
    if allowed is None or difference <= allowed:
        return allowed
    expected, number = f"numbers at most {allowed:g} apart", f"{difference:.2g}"
    message = "The graph's answers are not those that torch computes of the same weights."
    if plan.graph_file is None:
        raise refusal(message, expected=expected, found=number)
    again = f"Write `quantization: {{method: stored, tolerance: {difference:.1g}}}` to allow for it, or take"
    remedy = f"{again if _is_quantised(read_graph(path)) else 'Take'} another graph, or remove `file`."
    place: KeyPath = AT if stored is None else ("quantization", "tolerance")
    raise SpecError([Problem("format", message, path=place, expected=expected, found=number, remedy=remedy)])


def _is_quantised(graph: Graph) -> bool:
    """Whether a graph has weights in fewer bits, or computes in fewer than 32."""
    return any(name in graph.operators for name in QUANTISED) or any(
        value.dtype != "float32" for value in graph.outputs
    )


def _graph(files: SourceFiles, file: str) -> Graph:
    try:
        return read_graph(files.reader.fetch(file))
    except ValueError as error:
        raise files.refusal(BROKEN, f"{file} {error}", at=AT, remedy=AGAIN) from error


def _outputs(there: set[str], computes: str) -> tuple[str, ...]:
    """Those that answer; empty where the graph has none of them."""
    return next((names for names in OUTPUTS.get(computes, ()) if set(names) <= there), ())


def _value_problems(files: SourceFiles, file: str, graph: Graph, computes: str) -> Iterator[Problem]:
    if not OUTPUTS.get(computes):
        message = f"{file} cannot be taken for this task, whose {computes} are computed by what hfspec exports"
        yield files.problem("format", message, at=AT, remedy="leave out `file`, so that compile makes the graph")
        return
    others = sorted({value.name for value in graph.inputs} - {*INPUTS})
    if others:
        yield files.problem(
            BROKEN,
            f"{file} takes {', '.join(others[:8])}, which no tokenizer gives",
            at=AT,
            expected=f"some of {', '.join(INPUTS)}",
            found=", ".join(value.name for value in graph.inputs),
            remedy="take a graph that was exported for this task",
        )
    if misfits := [value for value in graph.inputs if value.dtype not in INTEGERS]:
        message, expected = f"{file} takes {misfits[0].name} in {misfits[0].dtype}", " or ".join(INTEGERS)
        yield files.problem(BROKEN, message, at=AT, expected=expected, found=misfits[0].dtype, remedy=AGAIN)
    if misfits := [value for value in graph.inputs if value.name in INPUTS and {*value.shape} != {None}]:
        yield files.problem(
            BROKEN,
            f"{file} takes {misfits[0].name} in one shape alone",
            at=AT,
            expected="any number of rows and of tokens",
            found=" x ".join("any" if size is None else str(size) for size in misfits[0].shape) or "a single number",
            remedy="take a graph with dynamic axes, as optimum exports them, or make one of the weights without `file`",
        )
    if not _outputs({value.name for value in graph.outputs}, computes):
        outputs = " or ".join(" and ".join(names) for names in OUTPUTS[computes])
        yield files.problem(
            BROKEN,
            f"{file} computes nothing that answers {files.tree.at(('task',))}",
            at=AT,
            expected=f"the output {outputs}",
            found=", ".join(value.name for value in graph.outputs),
            remedy="take a graph that was exported for this task",
        )


def _pooling_problems(sources: Sources, file: str, graph: Graph, computes: str) -> Iterator[Problem]:
    """A pooling for a graph that gives the embeddings themselves, where there are no weights to compare it with."""
    is_dead = _outputs({value.name for value in graph.outputs}, computes) == (VECTORS,)
    if sources.spec.pooling is not None and is_dead and not has_weights(sources.model):
        message = f"{file} gives embeddings, as its output {VECTORS}"
        yield sources.model.problem("dead-key", message, at=("pooling",), remedy="remove `pooling`")


def _data_problems(files: SourceFiles, file: str, graph: Graph) -> Iterator[Problem]:
    """Data beside the graph that is not there, or too short."""
    ends: dict[str, int] = {}
    for one in graph.external:
        ends[one.location] = max(ends.get(one.location, 0), one.end)
    for location, end in sorted(ends.items()):
        path = (PurePosixPath(file).parent / location).as_posix()
        message = f"{file} keeps weights in {location}"
        if "/" in location or "\\" in location or not files.has(path):
            state, remedy = "no such file beside it", "add the file: a graph and its data belong together"
            yield files.problem(BROKEN, message, at=AT, expected=f"{end} bytes", found=state, remedy=remedy)
        elif files.file(path).size < end:
            state = f"{files.file(path).size} bytes"
            yield files.problem(BROKEN, message, at=AT, expected=f"{end} bytes", found=state, remedy=AGAIN)


def _opset_problems(files: SourceFiles, file: str, graph: Graph) -> Iterator[Problem]:
    try:
        check_opsets(graph)
    except ValueError as error:
        yield files.problem(BROKEN, f"{file}: {error}", at=AT, remedy="install a newer onnxruntime")


def _vocabulary_problems(files: SourceFiles, file: str, graph: Graph) -> Iterator[Problem]:
    """A table of tokens smaller than the vocabulary that config.json states."""
    vocabulary = files.json("config.json").get("vocab_size")
    if isinstance(vocabulary, int) and 0 < graph.longest < vocabulary:
        message = f"{file} has no table of as many tokens as the checkpoint"
        expected, longest = f"a matrix of {vocabulary} rows", f"{graph.longest} at most"
        yield files.problem(BROKEN, message, at=AT, expected=expected, found=longest, remedy=AGAIN)
