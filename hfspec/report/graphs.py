"""Rows on a model that is a graph: before it is made, and once it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hfspec.ir.artifact import Manifest
from hfspec.ir.plan import Plan
from hfspec.ir.quantized_graph import distance


def planned_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    """Show what is asked of a graph's weights.

    Args:
        plan: The plan.

    Yields:
        A row with the method and what is allowed; none without quantisation.
    """
    quantization = plan.quantization
    if quantization is not None:
        most = "at any distance" if quantization.tolerance is None else f"{quantization.tolerance:g} at most"
        yield "quantization", f"{quantization.method}, {most} from the numbers of float32"


def measured_rows(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Show what was measured of a graph.

    Args:
        manifest: The artifact's.

    Yields:
        A row of the graph, and one of its quantisation; none for other models.
    """
    graph: Any = manifest.graph
    if "exporter" in graph:
        far = (
            f"{graph['difference']:g} from torch's numbers"
            if "difference" in graph
            else f"compared {graph['compared']}"
        )
        yield "graph", f"by {graph['exporter']}, {far}"
    if quantized := graph.get("quantization"):
        yield "quantization", f"{quantized['method']}, {distance(quantized)}"
