"""Sources to pins: branches and tags become commits, file lists are chosen from. The only stage that uses a network."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from hfspec.checkpoint.graphs.data_files import data_files
from hfspec.checkpoint.places import base_folder
from hfspec.errors import SourceError, SpecError
from hfspec.ir.pins import Pins, Reader, Resolved, SourcePin
from hfspec.ir.problem import KeyPath, Problem, dotted
from hfspec.ir.progress import Progress
from hfspec.ir.spec import Spec
from hfspec.ir.spec_keys import Source
from hfspec.ir.tree import Tree
from hfspec.sources.folder import NoSuchFolderError
from hfspec.sources.opening import Layout, open_source
from hfspec.sources.selection import Selection, with_graph, within
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.table import find

# Location and revision as the spec writes them -> the commit or version to take instead of asking what they stand for.
Commits = Mapping[tuple[str, str | None], str]
UNPINNED: Commits = MappingProxyType({})


def resolve(spec: Spec, tree: Tree, progress: Progress, pinned: Commits = UNPINNED) -> Resolved:
    """Every source of the spec pinned, the model first, each with a reader.

    A repository that ``pinned`` has, under its revision as written, is taken at that commit wherever the revision has
    moved since.

    Raises SourceError with every source that failed, each at its place in the spec; SpecError where all that is wrong
    is that the spec names folders that do not exist; StorageError when the cache's disk refuses.
    """
    pins: list[SourcePin] = []
    readers: dict[str, Reader] = {}
    failures: list[tuple[KeyPath, SourceError]] = []
    reviewed = [file.path for file in spec.trust_remote_code]
    for role, source in _sources(spec):
        key: KeyPath = tuple(role.split("/"))
        try:
            pin, readers[role] = open_source(
                _at(source, pinned),
                role,
                base_folder(tree, key),
                progress,
                select=_layout(spec),
                folder=_folder(spec) if role == "model" else None,
                reviewed=reviewed,
            )
            pins.append(replace(pin, location=source.location, revision=source.revision))
        except SourceError as error:
            failures.append(((*key, source.kind.key), error))
    if failures:
        raise _refusal(tree, failures)
    return Resolved(Pins(tuple(pins)), readers)


def _refusal(tree: Tree, failures: Sequence[tuple[KeyPath, SourceError]]) -> SpecError | SourceError:
    if all(isinstance(error, NoSuchFolderError) for _, error in failures):
        return SpecError([Problem("no-such-folder", str(error), tree.origin(path), path) for path, error in failures])
    return SourceError("\n".join(f"{tree.origin(path)}: {dotted(path[:-1])}: {error}" for path, error in failures))


def _at(source: Source, pinned: Commits) -> Source:
    key, version = source.kind.pinned_key, pinned.get((source.location, source.revision))
    return source if key is None or version is None else source.model_copy(update={key: version})


def _sources(spec: Spec) -> Iterator[tuple[str, Source]]:
    yield "model", spec.model
    if spec.adapter is not None:
        yield "adapter", spec.adapter
    for name, component in spec.components.given():
        yield f"components/{name}", component


def _folder(spec: Spec) -> str | None:
    """The folder of the model's source that is taken for the whole."""
    return None if LIBRARIES[spec.library].keeps_folder else spec.model.folder


def _layout(spec: Spec) -> Layout:
    """How the library chooses the model's files."""
    library = LIBRARIES[spec.library]
    task, select = find(spec.library, spec.task), library.part("layout")
    kept, file = spec.model.folder if library.keeps_folder else None, spec.model.file

    def layout(names: Sequence[str], reader: Reader, location: str) -> Selection:
        inside = names if kept is None else within(names, kept, location)
        if file is None:
            selection: Selection = select(inside, reader, location, task)
            return selection
        selection = select(inside, reader, location, task, has_graph=True)
        return with_graph(selection, file, location, lambda path: data_files(reader, path))

    return layout
