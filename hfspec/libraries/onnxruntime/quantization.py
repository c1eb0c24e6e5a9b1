"""A graph's weights in fewer bits, and how far its answers then are from those that it gave before."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hfspec.errors import HfspecError, SpecError
from hfspec.ir.frozen import thaw
from hfspec.ir.plan import Plan
from hfspec.ir.problem import Problem
from hfspec.libraries.onnxruntime.loading import GRAPH, load, session
from hfspec.libraries.onnxruntime.measuring import Distance
from hfspec.libraries.onnxruntime.unheard import unheard
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.predictor import Predictor

Batch = Mapping[str, Any]


class Recorder:
    """A session that remembers what it is given."""

    def __init__(self, recorded: Any) -> None:
        self.batches: list[Batch] = []
        self._session = recorded

    def run(self, names: Any, inputs: Batch) -> Any:
        """What the session computes."""
        self.batches.append(inputs)
        return self._session.run(names, inputs)


def quantize(plan: Plan, request: LoadRequest, computes: str, usual: Sequence[Batch]) -> dict[str, Any]:
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
    asked = plan.quantization
    assert asked is not None, "nobody else calls this"
    counts, batches = _examples(plan, request)
    if not batches:
        counts, batches = {"texts": len(usual)}, list(usual)
    graph = request.model_folder / GRAPH
    before, size = session(graph), _size(graph)
    wanted = [before.run(None, dict(batch)) for batch in batches]
    _write(graph)
    after, distance = session(graph), Distance(computes)
    for batch, numbers in zip(batches, wanted, strict=True):
        distance.add(batch, numbers, after.run(None, dict(batch)))
    found = distance.to_json()
    if asked.tolerance is not None and not distance.difference <= asked.tolerance:
        raise _too_far(asked.tolerance, found)
    sizes = {"bytes": _size(graph), "bytes_before": size}
    return {"method": asked.method, "tolerance": asked.tolerance, **found, "measured_on": counts, **sizes}


def told(account: Mapping[str, Any]) -> str:
    """The manifest's account of a quantised graph, in a sentence."""
    allowed = "" if account["tolerance"] is None else f" ({account['tolerance']:g} is allowed)"
    also = {"same_answers": "{:.2%} of the answers are the same", "least_cosine": "the least cosine is {:g}"}
    more = "".join(f"; {words.format(account[name])}" for name, words in also.items() if name in account)
    return (
        f"Quantised by {account['method']}, the graph takes {account['bytes'] / 1e6:.1f} MB where it took"
        f" {account['bytes_before'] / 1e6:.1f}, and over {counted(account['measured_on'])} its numbers differ from"
        f" those of float32 by {account['difference']:g} at most{allowed}{more}."
    )


def counted(measured_on: Mapping[str, int]) -> str:
    """What was measured, in words."""
    names = {"golden": "golden examples", "input_example": "the input example", "texts": "batches of plain texts"}
    parts = [
        names[kind] if kind == "input_example" else f"{count} {names[kind]}" for kind, count in measured_on.items()
    ]
    return " and ".join(parts)


def _examples(plan: Plan, request: LoadRequest) -> tuple[dict[str, int], list[Batch]]:
    """How many examples of which kind the model was asked, and the batches that it was given for them. An example that
    cannot be answered is told of where it is tried.
    """
    runner = load(request)
    graph = runner.loaded.model
    recorder = graph.session = Recorder(graph.session)
    predictor = Predictor(runner, {}, plan.deployment.outputs)
    asked = [("golden", thaw(one.input), thaw(one.params)) for one in plan.golden]
    if plan.input_example is not None:
        asked.append(("input_example", thaw(plan.input_example), {}))
    counts: dict[str, int] = {}
    for kind, data, params in asked:
        with suppress(HfspecError):
            predictor.predict(data, params)
            counts[kind] = counts.get(kind, 0) + 1
    return counts, recorder.batches


def _size(graph: Path) -> int:
    return sum(path.stat().st_size for path in graph.parent.glob(f"{GRAPH}*"))


def _write(graph: Path) -> None:
    """The graph quantised in its place.

    Weights of 7 bits: processors without VNNI add up two products of 8 bits in 16, which would overflow, and give other
    answers (https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html).
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}
    beside = len(list(graph.parent.glob(f"{GRAPH}*"))) > 1
    with TemporaryDirectory(prefix=".quantized-", dir=graph.parent) as folder:
        with quiet(), unheard("root"):
            quantize_dynamic(graph, Path(folder, GRAPH), use_external_data_format=beside, **options)
        for old in graph.parent.glob(f"{GRAPH}*"):
            old.unlink()
        for made in sorted(Path(folder).iterdir()):
            shutil.move(made, graph.parent / made.name)


def _too_far(most: float, found: Mapping[str, Any]) -> SpecError:
    also = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in found.items() if name != "difference")
    problem = Problem(
        "format",
        "The quantised graph's answers are too far from those of float32.",
        path=("quantization", "tolerance"),
        expected=f"numbers at most {most:g} apart",
        found=f"{found['difference']:g}" + (f" ({also})" if also else ""),
        remedy="Raise `tolerance`, or leave out `quantization`.",
    )
    return SpecError([problem])
