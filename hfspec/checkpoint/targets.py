"""Whether the files of an artifact can lie in one folder, on any machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.integrity.paths import folded, path_fault
from hfspec.ir.plan import CopyFile, WriteBytes, WriteWeights
from hfspec.ir.problem import Problem


def target_problems(files: SourceFiles, steps: Sequence[CopyFile | WriteWeights | WriteBytes]) -> Iterator[Problem]:
    """Names that lead out of the artifact, and names that are one on some file systems."""
    paths: dict[str, str] = {}
    for step in steps:
        fault = path_fault(step.target)
        if fault:
            yield files.problem(
                "unsafe-path", f"a file of the source cannot be carried along: {fault}", found=step.target
            )
        name = folded(step.target)
        if name in paths:
            yield files.problem(
                "unsafe-path",
                "two files of the source have names that are one where case or a letter's form makes no difference",
                found=f"{paths[name]}, {step.target}",
            )
        paths[name] = step.target
