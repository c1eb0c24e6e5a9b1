"""Code of a checkpoint's own, held against the files that the spec says were reviewed. It is read, never run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.checkpoint.remote_code.class_references import CONFIG, MODEL, Reference, auto_classes, entries, references
from hfspec.checkpoint.remote_code.imports import Imports, imports
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.plan import CopyFile
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec import Spec
from hfspec.ir.spec_keys import ReviewedFile
from hfspec.tasks.task import Task

KEY: KeyPath = ("trust_remote_code",)
READ_FIRST = "Read these files first: they run on every machine that loads the model. Then write:"
PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


@dataclass(frozen=True, slots=True)
class Code:
    """``classes``: as the manifest has them. ``files``: the copies of what they are made of. ``packages``: what those
    import beside the library. ``problems``: what keeps the code from being used; the rest is what would be used.
    """

    classes: FrozenDict
    files: tuple[CopyFile, ...]
    packages: tuple[str, ...]
    problems: tuple[Problem, ...]

    def class_name(self, part: str) -> str:
        """The class's bare name, empty where the part is no code."""
        return str(self.classes.get(part, "")).rpartition(":")[2]


@dataclass(frozen=True, slots=True)
class _File:
    """A file that a class is made of: where it lies, its digest, what it imports."""

    source: SourceFiles
    path: str
    sha256: str
    imports: Imports


def remote_code(
    spec: Spec,
    task: Task,
    files: SourceFiles,
    own: Mapping[str, SourceFiles],
    *,
    folder: str,
    raw: Mapping[str, Any],
) -> Code:
    """The code that the deployment uses: what the library cannot do without, and what the spec lists.

    ``raw``: the config of the model in ``folder`` of ``files``; ``own``: the components from elsewhere, by name.
    """
    all_references = references(task, files, folder, raw, own)
    references_in_use = _used(all_references, {file.path for file in spec.trust_remote_code})
    problems = [*_reference_problems(references_in_use), *_lacking(task, files, folder, raw, references_in_use)]
    files_by_path: dict[tuple[str, str], _File] = {}
    for reference in references_in_use:
        if reference.is_sound and not reference.repository:
            problems += _follow(reference, files_by_path)
    needed_files = [file for _, file in sorted(files_by_path.items())]
    problems += _review_problems(spec, [files, *own.values()], needed_files)
    packages, more = _packages(files, needed_files)
    return Code(
        classes=FrozenDict(
            {item.part: f"{item.files.role}/{item.path}:{item.class_name}" for item in references_in_use}
        ),
        files=tuple(_copy(file) for file in needed_files),
        packages=packages,
        problems=tuple(dict.fromkeys((*problems, *more))),
    )


def _used(all_references: Sequence[Reference], reviewed_paths: set[str]) -> tuple[Reference, ...]:
    """A model of code comes with the config class that the checkpoint names beside it, and the other way round."""
    parts = {item.part for item in all_references if item.needed or item.path in reviewed_paths}
    if parts & {CONFIG, MODEL}:
        parts |= {CONFIG, MODEL}
    return tuple(item for item in all_references if item.part in parts)


def _reference_problems(references_in_use: Sequence[Reference]) -> Iterator[Problem]:
    for item in references_in_use:
        if item.repository:
            yield item.files.problem(
                "remote-code",
                f"{item.where} takes the class of its {item.part} from another repository, whose code has no pin here",
                found=item.text,
                remedy=f"copy the file into the checkpoint, and write {item.text.partition('--')[2]!r} in its auto_map",
            )
        elif not item.is_sound:
            yield item.files.problem(
                "remote-code",
                f"{item.where} names no class in a file beside it as the code of its {item.part}",
                found=repr(item.text),
                expected="a file and a class, such as modeling_x.XModel",
            )


def _lacking(
    task: Task, files: SourceFiles, folder: str, raw: Mapping[str, Any], references_in_use: Sequence[Reference]
) -> Iterator[Problem]:
    """A config of code without a model of code for the task, which the library cannot have."""
    parts = {item.part for item in references_in_use}
    if CONFIG in parts and MODEL not in parts:
        able = sorted(name for name in entries(raw) if name.startswith("AutoModel"))
        yield files.problem(
            "task-not-possible",
            f"{folder}config.json names no class of its own code for {task.name}",
            at=("task",),
            expected=f"{' or '.join(sorted(set(auto_classes(task))))} in its auto_map",
            found=", ".join(able) or "no model class",
        )


def _follow(reference: Reference, files_by_path: dict[tuple[str, str], _File]) -> Iterator[Problem]:
    """The file of a reference and what it imports from beside it, added to ``files_by_path``."""
    source, open_paths = reference.files, [reference.path]
    there = _code_files(source)
    while open_paths:
        path = open_paths.pop()
        if (source.role, path) in files_by_path:
            continue
        if path not in there:
            yield source.problem("remote-code", f"{reference.where} names {path}, which the source does not have")
            continue
        content = source.reader.small(path).read_bytes()
        try:
            imported = imports(content, path, reference.folder, there)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            yield source.problem("remote-code", f"{path} is not Python that can be read: {error}")
            continue
        files_by_path[source.role, path] = _File(source, path, hashlib.sha256(content).hexdigest(), imported)
        open_paths += sorted(imported.files)
        for statement in imported.missing:
            yield source.problem(
                "remote-code", f"{path} imports what the source does not have beside it", found=statement
            )


def _review_problems(spec: Spec, sources: Sequence[SourceFiles], needed_files: Sequence[_File]) -> Iterator[Problem]:
    """Whether the spec lists exactly the files needed, each as it is."""
    if needed_files and not spec.trust_remote_code:
        yield _nothing_listed(needed_files)
        return
    reviewed_digests = {(file.path, file.sha256) for file in spec.trust_remote_code}
    exact = {(file.path, file.sha256) for file in needed_files}
    stale = {path for path, _ in reviewed_digests - exact}
    for file in needed_files:
        if (file.path, file.sha256) not in reviewed_digests and file.path not in stale:
            message = f"{file.path} is code that the checkpoint needs, and it is not listed as reviewed"
            yield file.source.problem("remote-code", message, at=KEY, remedy=f"{READ_FIRST}\n{_entry(file)}")
    for index, reviewed in enumerate(spec.trust_remote_code):
        if (reviewed.path, reviewed.sha256) not in exact:
            yield _wrongly_listed(index, reviewed, sources, needed_files)


def _wrongly_listed(
    index: int, reviewed: ReviewedFile, sources: Sequence[SourceFiles], needed_files: Sequence[_File]
) -> Problem:
    mine = [file for file in needed_files if file.path == reviewed.path]
    if mine:
        return mine[0].source.problem(
            "remote-code",
            f"{reviewed.path} is not the file that was reviewed: it has changed since",
            at=(*KEY, index, "sha256"),
            expected=reviewed.sha256,
            found=mine[0].sha256,
            remedy="Read what has changed; then write the digest that was found.",
        )
    is_there = any(reviewed.path in _code_files(source) for source in sources)
    why = "is code that the deployment does not use" if is_there else "is not a Python file of the source"
    message = f"{reviewed.path}, listed as reviewed, {why}"
    return sources[0].problem("remote-code", message, at=(*KEY, index), remedy="Take it off the list.")


def _nothing_listed(needed_files: Sequence[_File]) -> Problem:
    lines = "\n".join(_entry(file) for file in needed_files)
    return needed_files[0].source.problem(
        "remote-code",
        "the checkpoint brings its own Python code, which is used only when the spec lists its files as reviewed",
        at=KEY,
        found=", ".join(file.path for file in needed_files),
        remedy=f"{READ_FIRST}\ntrust_remote_code:\n{lines}",
    )


def _entry(file: _File) -> str:
    path = file.path if PLAIN_PATH.fullmatch(file.path) else json.dumps(file.path)
    return f'  - {{path: {path}, sha256: "{file.sha256}"}}'


def _packages(files: SourceFiles, code: Sequence[_File]) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """The packages that the code imports, by the names that pip knows; a problem for each that is not installed."""
    if not code:
        return (), ()
    from importlib.metadata import packages_distributions

    distributions = packages_distributions()
    names, problems = set(), []
    for file in code:
        for top in sorted(file.imports.packages):
            names |= set(distributions.get(top, ())[:1])
            if top not in distributions:
                problems.append(
                    files.problem(
                        "remote-code",
                        f"{file.path} imports {top}, which is not installed here",
                        remedy=f"pip install {top}, or the package that brings it",
                    )
                )
    return tuple(sorted(names)), tuple(problems)


def _copy(file: _File) -> CopyFile:
    size = file.source.reader.small(file.path).stat().st_size
    return CopyFile(f"{file.source.role}/{file.path}", file.source.role, file.path, size, file.sha256)


def _code_files(source: SourceFiles) -> frozenset[str]:
    """Every Python file of a source, those that are left out included."""
    names = (*source.paths, *(path for path, _ in source.pin.skipped))
    return frozenset(name for name in names if name.endswith(".py"))
