"""The processes of Spark's that run Python, to be killed."""

from __future__ import annotations

import contextlib
from pathlib import Path


def spark_workers(under: int) -> set[int]:
    """Those below this process that do tasks: the one that starts them is not among them."""
    parents: dict[int, int] = {}
    daemons: set[int] = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            process = int(entry.parent.name)
            parents[process] = int(entry.read_text().rpartition(")")[2].split()[1])
            if b"pyspark.daemon" in (entry.parent / "cmdline").read_bytes():
                daemons.add(process)
    return {process for process in daemons if parents[process] in daemons and _is_below(process, under, parents)}


def _is_below(process: int, under: int, parents: dict[int, int]) -> bool:
    while process in parents and process != under:
        process = parents[process]
    return process == under
