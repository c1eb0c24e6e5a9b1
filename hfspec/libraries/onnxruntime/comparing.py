"""A graph held against the torch model of its checkpoint: by numbers, or by shapes where the source has no weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from hfspec.errors import SpecError
from hfspec.ir.plan import Plan
from hfspec.ir.problem import Problem
from hfspec.libraries.onnxruntime.examples import Drawing, Inputs
from hfspec.libraries.onnxruntime.loading import GRAPH, Graph, PlainGraph
from hfspec.libraries.onnxruntime.measuring import Distance
from hfspec.libraries.onnxruntime.own_graph import AT, allowed_difference
from hfspec.libraries.onnxruntime.runners.sentences import POOLING_MASK
from hfspec.runtime.patches.masks import MASK


@dataclass(frozen=True, slots=True)
class Pair:
    """A graph that was drawn, what it computes by torch, and the graph itself."""

    drawing: Drawing
    torch_module: Any
    graph: PlainGraph

    def __iter__(self) -> Iterator[tuple[Inputs, Sequence[Any], Sequence[Any]]]:
        """Each batch with torch's numbers and the graph's."""
        import torch

        for inputs, graph_inputs in zip(self._batches, self.graph_batches(), strict=True):
            with torch.no_grad():
                answer = self.torch_module(*map(torch.from_numpy, inputs.values()))
            torch_arrays = [side.numpy() for side in (answer if isinstance(answer, tuple) else (answer,))]
            graph_arrays = self.graph.run(graph_inputs)
            if isinstance(self.graph, Graph) and self.graph.pooling is not None:
                graph_arrays = [self.graph.pooled(graph_arrays[0], inputs.get(POOLING_MASK, inputs[MASK]))]
            yield inputs, torch_arrays, graph_arrays

    def graph_batches(self) -> list[Inputs]:
        """The batches as the graph takes them."""
        return [{name: batch[name] for name in batch if name in self.graph.inputs} for batch in self._batches]

    @property
    def _batches(self) -> Sequence[Inputs]:
        return self.drawing.examples.batches


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings of a comparison. ``account``: for the manifest; ``notes``: for the user."""

    account: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def compare_numbers(pairs: Sequence[Pair], plan: Plan, model: Path) -> Comparison:
    """Compare the graphs of a model with torch, both with the weights of the source.

    Args:
        pairs: Each graph and its model in torch.
        plan: The plan of the compile.
        model: The folder of the graphs.

    Returns:
        The largest difference, and what is allowed.

    Raises:
        SpecError: The difference is larger than is allowed.
    """
    differences = {pair.drawing.file: _difference(pair) for pair in pairs}
    difference = max(differences.values())
    allowed = allowed_difference(plan, difference, model / GRAPH)
    words = pairs[0].drawing.examples.words
    notes = (
        f"model/{file} computes what torch computes of the weights; over {words} its numbers differ by {number:g} at"
        f" most, and {'any distance' if allowed is None else f'{allowed:g}'} is allowed."
        for file, number in differences.items()
    )
    return Comparison({"difference": difference, "tolerance": allowed}, tuple(notes))


def _difference(pair: Pair) -> float:
    distance = Distance(pair.drawing.computes)
    for inputs, torch_arrays, graph_arrays in pair:
        distance.add(inputs, torch_arrays, graph_arrays)
    return distance.difference


def compare_shapes(pairs: Sequence[Pair]) -> Comparison:
    """Compare graphs that came without weights with the architecture that config.json states.

    Args:
        pairs: Each graph and its model in torch, which has random weights.

    Returns:
        That the numbers were not compared.

    Raises:
        SpecError: An array of a graph has another shape, or holds a number that is infinite or none.
    """
    import numpy as np

    for _, torch_arrays, graph_arrays in chain(*pairs):
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
