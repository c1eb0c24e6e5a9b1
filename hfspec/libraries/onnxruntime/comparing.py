"""A graph held against the torch model of its checkpoint: by numbers, or by shapes where the source has no weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.errors import SpecError
from hfspec.ir.plan import Plan
from hfspec.ir.problem import Problem
from hfspec.libraries.onnxruntime.examples import Examples, Inputs
from hfspec.libraries.onnxruntime.loading import GRAPH, Graph
from hfspec.libraries.onnxruntime.measuring import Distance
from hfspec.libraries.onnxruntime.own_graph import AT, allowed_difference
from hfspec.libraries.onnxruntime.runners.sentences import POOLING_MASK
from hfspec.runtime.patches.masks import MASK


@dataclass(frozen=True, slots=True)
class Pair:
    """A torch model and the graph of it, with the examples that both answer. ``computes``: the kind of outputs."""

    torch_module: Any
    graph: Graph
    examples: Examples
    computes: str

    def __iter__(self) -> Iterator[tuple[Inputs, Sequence[Any], Sequence[Any]]]:
        """Each batch with torch's numbers and the graph's."""
        import torch

        for inputs, graph_inputs in zip(self.examples.batches, self.graph_batches(), strict=True):
            with torch.no_grad():
                answer = self.torch_module(*map(torch.from_numpy, inputs.values()))
            torch_arrays = [side.numpy() for side in (answer if isinstance(answer, tuple) else (answer,))]
            graph_arrays = self.graph.run(graph_inputs)
            if self.graph.pooling is not None:
                graph_arrays = [self.graph.pooled(graph_arrays[0], inputs.get(POOLING_MASK, inputs[MASK]))]
            yield inputs, torch_arrays, graph_arrays

    def graph_batches(self) -> list[Inputs]:
        """The batches as the graph takes them."""
        return [{name: batch[name] for name in batch if name in self.graph.inputs} for batch in self.examples.batches]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison found. ``account``: for the manifest; ``notes``: for the user."""

    account: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def compare_numbers(pair: Pair, plan: Plan, model: Path) -> Comparison:
    """Compare a graph with torch, both with the weights of the source.

    Args:
        pair: The two.
        plan: The plan of the compile.
        model: The folder of the graph.

    Returns:
        The largest difference, and what is allowed.

    Raises:
        SpecError: The difference is larger than is allowed.
    """
    distance = Distance(pair.computes)
    for inputs, torch_arrays, graph_arrays in pair:
        distance.add(inputs, torch_arrays, graph_arrays)
    allowed = allowed_difference(plan, distance.difference, model / GRAPH)
    note = (
        f"model/{GRAPH} computes what torch computes of the weights; over {pair.examples.words} its numbers differ by"
        f" {distance.difference:g} at most, and {'any distance' if allowed is None else f'{allowed:g}'} is allowed."
    )
    return Comparison({"difference": distance.difference, "tolerance": allowed}, (note,))


def compare_shapes(pair: Pair) -> Comparison:
    """Compare a graph that came without weights with the architecture that config.json states.

    Args:
        pair: The two, torch's with random weights.

    Returns:
        That the numbers were not compared.

    Raises:
        SpecError: An array of the graph has another shape, or holds a number that is infinite or none.
    """
    import numpy as np

    for _, torch_arrays, graph_arrays in pair:
        expected, found = ([list(array.shape) for array in arrays] for arrays in (torch_arrays, graph_arrays))
        if expected != found:
            message = "The graph's answers have another shape than those of the architecture that config.json states."
            remedy = "Take the graph of this checkpoint and task."
            raise SpecError(
                [Problem("format", message, path=AT, expected=str(expected), found=str(found), remedy=remedy)]
            )
        if not all(np.isfinite(array).all() for array in graph_arrays):
            message = "The graph computes numbers that are infinite, or none, of plain texts."
            raise SpecError([Problem("format", message, path=AT, remedy="Take another graph of the source.")])
    return Comparison({"compared": "not with weights: the source has none"})
