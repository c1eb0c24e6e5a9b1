"""The files that a graph keeps its weights in."""

from __future__ import annotations

from pathlib import PurePosixPath

from hfspec.checkpoint.graphs.header import read_graph
from hfspec.ir.pins import Reader


def data_files(reader: Reader, path: str) -> frozenset[str]:
    """Find the files beside a graph that its header names.

    Args:
        reader: The reader of the source.
        path: The graph's path.

    Returns:
        Their paths, of which the source may lack some; none of a graph that cannot be read: the plan says why.
    """
    try:
        graph = read_graph(reader.fetch(path))
    except ValueError:
        return frozenset()
    return frozenset((PurePosixPath(path).parent / one.location).as_posix() for one in graph.external)
