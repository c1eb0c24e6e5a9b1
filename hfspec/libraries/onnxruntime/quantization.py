"""A graph's weights in fewer bits, and how far its answers then are from those that it gave before."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hfspec.errors import HfspecError, SpecError
from hfspec.ir.calibration import CalibrationExample
from hfspec.ir.frozen import thaw
from hfspec.ir.plan import Plan
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.quantized_graph import distance
from hfspec.ir.spec_keys import Quantization
from hfspec.libraries.onnxruntime.examples import Inputs
from hfspec.libraries.onnxruntime.loading import GRAPH, load, session
from hfspec.libraries.onnxruntime.measuring import Distance
from hfspec.libraries.onnxruntime.unheard import unheard
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.predictor import Predictor

DYNAMIC = "dynamic-int8"
STATIC = ["Gather", "Gemm", "MatMul"]  # where the weights are


class Recorder:
    """A session that remembers what it is given."""

    def __init__(self, recorded: Any) -> None:
        self.batches: list[Inputs] = []
        self._session = recorded

    def run(self, names: Any, inputs: Inputs) -> Any:
        """The outputs of the session."""
        self.batches.append(inputs)
        return self._session.run(names, inputs)


def quantize(plan: Plan, request: LoadRequest, computes: str, usual: Sequence[Inputs]) -> dict[str, Any]:
    """Quantise the graph of a folder in its place, and measure what that changes.

    Args:
        plan: Which asks for it, with the examples that are measured.
        request: The folder with the graph as it is before, as its task loads it.
        computes: What the graph computes.
        usual: Batches for a plan without examples.

    Returns:
        What the manifest says of it.

    Raises:
        SpecError: The numbers are too far from those of float32.
    """
    quantization = plan.quantization
    assert quantization is not None, "nobody else calls this"
    counts, batches = _examples(plan, request)
    if not batches:
        counts, batches = {"plain": len(usual)}, list(usual)
    graph = request.model_folder / GRAPH
    before, size = session(graph), _size(graph)
    answers = [before.run(None, dict(batch)) for batch in batches]
    _write(quantization, graph, batches)
    after, apart = session(graph), Distance(computes)
    for batch, numbers in zip(batches, answers, strict=True):
        apart.add(batch, numbers, after.run(None, dict(batch)))
    measures = apart.to_json()
    if quantization.tolerance is not None and not apart.difference <= quantization.tolerance:
        raise _too_far(quantization.tolerance, measures)
    examples = {} if plan.calibration is None else {"calibration_sha256": plan.calibration.sha256}
    sizes = {"bytes": _size(graph), "bytes_before": size}
    return {
        "method": quantization.method,
        "tolerance": quantization.tolerance,
        **measures,
        "measured_on": counts,
        **examples,
        **sizes,
    }


def note(account: Mapping[str, Any]) -> str:
    """The manifest's account of a quantised graph, in a sentence."""
    return (
        f"Quantised by {account['method']}, the graph takes {account['bytes'] / 1e6:.1f} MB where it took"
        f" {account['bytes_before'] / 1e6:.1f}; its numbers are at most {distance(account)}."
    )


def _examples(plan: Plan, request: LoadRequest) -> tuple[dict[str, int], list[Inputs]]:
    """How many examples of which kind the model was asked, and the batches that it was given for them. An example that
    cannot be answered is told of where it is tried.
    """
    runner = load(request)
    graph = runner.loaded.model
    recorder = graph.session = Recorder(graph.session)
    predictor = Predictor(runner, {}, plan.deployment.outputs)
    examples = [("golden", thaw(one.input), thaw(one.params)) for one in plan.golden]
    if plan.input_example is not None:
        examples.append(("input_example", thaw(plan.input_example), {}))
    counts: dict[str, int] = {}
    for kind, data, params in examples:
        with suppress(HfspecError):
            predictor.predict(data, params)
            counts[kind] = counts.get(kind, 0) + 1
    if plan.calibration is not None:
        counts["calibration"] = len(plan.calibration.examples)
        for one in plan.calibration.examples:
            _ask(predictor, plan.calibration.name, one)
    return counts, recorder.batches


def _ask(predictor: Predictor, file: str, example: CalibrationExample) -> None:
    """Raises SpecError where an example of a file cannot be answered."""
    try:
        predictor.predict(thaw(example.input), thaw(example.params))
    except HfspecError as error:
        path: KeyPath = ("quantization", "calibration")
        message = f"{file}, {example.place}: {error}"
        raise SpecError(
            [Problem("calibration", message, path=path, remedy="Mend the example, or leave it out.")]
        ) from error


def _size(graph: Path) -> int:
    return sum(path.stat().st_size for path in graph.parent.glob(f"{GRAPH}*"))


class _Batches:
    """Batches one after the other, as onnxruntime's calibrators ask for them."""

    def __init__(self, batches: Sequence[Inputs]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, Any] | None:
        """The next batch; None after the last."""
        batch = next(self._left, None)
        return None if batch is None else dict(batch)


def _write(quantization: Quantization, graph: Path, batches: Sequence[Inputs]) -> None:
    """The graph quantised in its place; ``batches``: by which the ranges of static-int8 are found.

    Weights of 7 bits: processors without VNNI add up two products of 8 bits in 16, which would overflow, and give other
    answers (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic, quantize_static

    beside = len(list(graph.parent.glob(f"{GRAPH}*"))) > 1
    usual = {
        "weight_type": QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,
        "use_external_data_format": beside,
    }
    with TemporaryDirectory(prefix=".quantized-", dir=graph.parent) as folder:
        target = Path(folder, GRAPH)
        with quiet(), unheard("root"):
            if quantization.method == DYNAMIC:
                quantize_dynamic(graph, target, **usual)
            else:
                options = {"MatMulConstBOnly": True}
                quantize_static(
                    graph, target, _Batches(batches), op_types_to_quantize=STATIC, extra_options=options, **usual
                )
        for old in graph.parent.glob(f"{GRAPH}*"):
            old.unlink()
        for file in sorted(Path(folder).iterdir()):
            shutil.move(file, graph.parent / file.name)


def _too_far(most: float, measures: Mapping[str, Any]) -> SpecError:
    also = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in measures.items() if name != "difference")
    problem = Problem(
        "format",
        "The quantised graph's answers are too far from those of float32.",
        path=("quantization", "tolerance"),
        expected=f"numbers at most {most:g} apart",
        found=f"{measures['difference']:g}" + (f" ({also})" if also else ""),
        remedy="Raise `tolerance`, or leave out `quantization`.",
    )
    return SpecError([problem])
