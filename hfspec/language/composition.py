"""Hydra behind one adapter: defaults lists, config groups, overrides, sweeps and interpolation.

Composition is Hydra's own code, from its override grammar to the merge; this module decides only what may go in and
where each value that comes out was written. An override ``key=value`` sets any key, written in a file or not; it
chooses an option where ``key`` is a config group. Hydra is imported when this module is.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.defaults_list import create_defaults_list
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, RangeSweep
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf._utils import split_key

from hfspec.errors import SpecError
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.problem import KeyPath, Origin, Problem
from hfspec.ir.tree import Tree
from hfspec.language import checking, forbidden, hydra_keys, interpolation
from hfspec.language.documents import Folder
from hfspec.language.hydra_errors import check_group, translated, unreadable
from hfspec.language.hydra_source import SpecRepository
from hfspec.language.kind import SPEC, DocumentKind
from hfspec.language.provenance import Layers
from hfspec.language.yaml12 import Document

MAX_COMBINATIONS = 10_000


@dataclass(frozen=True, slots=True)
class Composition:
    """A spec as Hydra composed it: the config with interpolations in place, its defaults list, its provenance.

    ``problems``: why it is not the whole spec. It is then what could be composed without the files, entries and
    overrides at fault.
    """

    file: str
    config: Any
    defaults: tuple[Any, ...]
    layers: Layers
    problems: tuple[Problem, ...] = ()
    kind: DocumentKind = SPEC

    def tree(self) -> Tree:
        """The composed document, interpolations resolved. Raises SpecError where the spec cannot be composed, or an
        interpolation has no value, with everything else that is wrong.
        """
        resolution = interpolation.Resolution(self.kind, self.layers.value)
        value = resolution.plain(self.config)
        origins, texts = self.layers.origins, self.layers.texts
        paths = set(_paths(value))
        tree = Tree(
            self.file,
            FrozenDict(value),
            {path: origin for path, origin in origins.items() if path in paths},
            {path: text for path, text in texts.items() if path in paths},
            dict(self.layers.packages),
            resolution.hidden,
        )
        at_interpolation = Tree(self.file, tree.value, origins)
        unresolved = [replace(each, origin=at_interpolation.origin(each.path)) for each in resolution.problems]
        if self.problems or unresolved:
            raise SpecError(checking.with_others(tree, [*self.problems, *unresolved], self.kind))
        return tree

    def checked(self) -> Composition:
        """Itself; raises SpecError where the spec cannot be composed."""
        if self.problems:
            self.tree()
        return self


def compose(
    spec: Path, overrides: Sequence[str] = (), document: Document | None = None, kind: DocumentKind = SPEC
) -> Composition:
    """Compose a spec, or a document of another kind, with its defaults and overrides.

    Args:
        spec: The file.
        overrides: Hydra's overrides, ``key=value``.
        document: The file's own document, when it has been read already.
        kind: The kind of document: a spec, or another.

    Returns:
        The composition.

    Raises:
        SpecError: Nothing of the document can be read.
        UsageError: A file cannot be read.
    """
    return compose_in(Folder(spec, document, kind), str(spec), overrides)


def compose_in(folder: Folder, name: str, overrides: Sequence[str]) -> Composition:
    """Compose the primary document of a folder with its defaults and overrides.

    Args:
        folder: The folder.
        name: How problems name the document.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        The composition.

    Raises:
        SpecError: Nothing of the document can be read.
        UsageError: A file cannot be read.
    """
    parsed, problems = _parse_all(overrides, folder.kind)
    with _hydra_version():
        result, config, layers = _layered(folder, parsed, problems)
    for override in result.config_overrides:
        with _collected(problems):
            _apply(override, config, layers, folder)
    return Composition(name, config, tuple(result.defaults), layers, (*folder.problems, *problems), folder.kind)


def _layered(folder: Folder, parsed: list[Override], problems: list[Problem]) -> tuple[Any, Any, Layers]:
    """Hydra's defaults list, the config of it and its provenance, without the entries and overrides at fault."""
    ready = []
    for override in parsed:
        with _collected(problems), translated(folder, [override], certain=True):
            ConfigLoaderImpl.validate_sweep_overrides_legal([override], RunMode.RUN, from_shell=True)
            ready.append(_as_set(override, folder))
    while True:
        faults: list[Problem] = []
        with _collected(faults), translated(folder, ready):
            repository = SpecRepository(folder)
            result = create_defaults_list(repository, folder.name, ready, prepend_hydra=False, skip_missing=False)
            config = _loader()._compose_config_from_defaults_list(result.defaults, repository)  # noqa: SLF001
            layers = Layers()
            for default in result.defaults:
                _lay_document(layers, folder, default, repository)
            return result, config, layers
        problems += faults
        ready = _without_faults(faults, ready, folder)


def _without_faults(faults: Sequence[Problem], overrides: list[Override], folder: Folder) -> list[Override]:
    """The overrides that are left; the folder leaves out the entries at fault. Raises SpecError where nothing can be
    left out, so that Hydra would say the same again.
    """
    refused = {problem.origin.override for problem in faults}
    good = [override for override in overrides if override.input_line not in refused]
    entries = [problem.origin for problem in faults if not problem.origin.override]
    if len(good) == len(overrides) and not any(folder.leave_out(origin) for origin in entries):
        raise SpecError([*folder.problems, *faults])
    return good


@contextmanager
def _collected(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except SpecError as error:
        problems += error.problems


def config_text(spec: Path, overrides: Sequence[str] = (), *, resolve: bool = False) -> str:
    """Print the composed spec as Hydra's ``--cfg job`` does.

    Args:
        spec: The file.
        overrides: Hydra's overrides, ``key=value``.
        resolve: Whether interpolations are filled in.

    Returns:
        The text.

    Raises:
        SpecError: Nothing of the document can be read.
        UsageError: A file cannot be read.
    """
    composition = compose(spec, overrides).checked()
    config = OmegaConf.create(thaw(composition.tree().value)) if resolve else composition.config
    return str(OmegaConf.to_yaml(config))


def defaults_text(spec: Path, overrides: Sequence[str] = ()) -> str:
    """Print the final defaults list as Hydra's ``--info defaults`` does.

    Args:
        spec: The file.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        The text.

    Raises:
        SpecError: Nothing of the document can be read.
        UsageError: A file cannot be read.
    """
    rows = [
        (item.config_path or "", item.package or "", str(bool(item.is_self)), item.parent or "<root>")
        for item in compose(spec, overrides).checked().defaults
    ]
    header = ("Config path", "Package", "_self_", "Parent")
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in (header, *rows)]
    lines = [f"| {' | '.join(row)} |" for row in cells]
    rule = "-" * (len(lines[0]) + 1)  # Hydra's header ends in a space
    return "\n".join(["", "Defaults List", "*" * 13, lines[0] + " ", rule, *lines[1:], rule]) + "\n"


def sweep(spec: Path, overrides: Sequence[str]) -> list[list[str]]:
    """List the overrides of a multirun, in the order of Hydra's BasicSweeper.

    Args:
        spec: The file.
        overrides: Hydra's overrides, sweeps among them.

    Returns:
        A list of overrides for each run.

    Raises:
        SpecError: An override is wrong.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    folder = Folder(spec)
    parsed, problems = _parse_all(overrides, SPEC)
    swept = [override for override in parsed if override.is_sweep_override()]
    if problems:
        plain = [override.input_line or "" for override in parsed if not override.is_sweep_override()]
        replace(compose(spec, plain), problems=tuple(problems)).checked()
    with translated(folder, swept, certain=bool(swept)), _hydra_version():
        ConfigLoaderImpl.validate_sweep_overrides_legal(parsed, RunMode.MULTIRUN, from_shell=True)
        for override in parsed:
            override.config_loader = _Groups(folder)
        _bound(parsed)
        batches = BasicSweeper.split_arguments(parsed, max_batch_size=None)
    if not batches or not batches[0]:
        message = "The sweep has no combination: one of its values stands for nothing."
        remedy = "A glob() goes by the options of a config group, a folder below the spec's root."
        raise SpecError([Problem("override", message, _together(swept), remedy=remedy)])
    return [list(combination) for combination in batches[0]]


def _together(overrides: Sequence[Override]) -> Origin:
    return Origin(override=" ".join(override.input_line or "" for override in overrides))


class _Groups:
    """The one thing that a glob in a sweep asks of Hydra's config loader."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def get_group_options(self, group_name: str, results_filter: Any = None) -> list[str]:
        return [name for name in self._folder.names(group_name) if not name.endswith("/")]


def _bound(overrides: Sequence[Override]) -> None:
    combinations = 1.0
    for override in overrides:
        value = override.value()
        if isinstance(value, RangeSweep):
            combinations *= max(1.0, abs((value.stop - value.start) / (value.step or 1)))
        elif override.is_choice_sweep():
            combinations *= len(getattr(value, "list", ())) or 1
    if combinations > MAX_COMBINATIONS:
        message = f"The sweep has about {combinations:.0f} combinations; {MAX_COMBINATIONS} are allowed."
        raise SpecError([Problem("override", message, _together(overrides))])


def _loader() -> Any:
    # Its constructor would build a repository from a search path; ours is given to each call.
    return object.__new__(ConfigLoaderImpl)


def _parse_all(overrides: Sequence[str], kind: DocumentKind) -> tuple[list[Override], list[Problem]]:
    """The overrides that can be taken, and the problems of the others."""
    parser = OverridesParser.create()
    parsed, problems = [], []
    for text in overrides:
        try:
            override = parser.parse_overrides([text])[0]
        except Exception as error:  # noqa: BLE001 - the grammar's errors, recursion and assertions are of many types
            problems.append(unreadable(text, error))
            continue
        faults = _override_faults(override, kind)
        if not faults:
            parsed.append(override)
        problems += faults
    return parsed, problems


def _override_faults(override: Override, kind: DocumentKind) -> list[Problem]:
    key = override.key_or_group
    if hydra_keys.is_hydras(key):
        return [hydra_keys.problem(key, Origin(override=override.input_line or ""), (key,), kind)]
    path = tuple(split_key(key))
    if override.is_sweep_override() and not kind.sweeps:
        message = f"A key of a {kind.noun} has one value."
        remedy = "For a list, write key=[value1,value2]; for a text with commas, 'key=\"a, b\"'."
        return [Problem("override", message, Origin(override=override.input_line or ""), path, remedy=remedy)]
    value: Any = None if override.is_sweep_override() else override.value()
    for part in reversed(path):
        value = {part: value}
    problems = [*forbidden.faults(value, kind), *interpolation.faults(value, kind)]
    if path[:1] == ("defaults",):
        message = "The defaults list cannot be set by an override."
        problems.append(Problem("override", message, path=path, remedy="Choose from a config group: `group=option`."))
    return [replace(problem, origin=Origin(override=override.input_line or "")) for problem in problems]


def _as_set(override: Override, folder: Folder) -> Override:
    """``key=value`` as ``++key=value``, unless it chooses from a config group."""
    check_group(override, folder)
    is_choice = folder.is_group(override.key_or_group) and not isinstance(override.value(), dict)
    if override.type is not OverrideType.CHANGE or override.package is not None or is_choice:
        return override
    return replace(override, type=OverrideType.FORCE_ADD)


def _lay_document(layers: Layers, folder: Folder, default: Any, repository: SpecRepository) -> None:
    document = folder.document(default.config_path)
    package = default.package
    if package is None:
        package = repository.load_config(default.config_path).header["package"]
    prefix: KeyPath = tuple(split_key(package)) if package else ()
    value = {key: item for key, item in document.value.items() if key != "defaults"}
    layers.lay(prefix, value, document.origins.get, document.texts)
    if prefix:
        layers.packages[prefix] = Origin(document.file, 1, 1)


def _apply(override: Override, config: Any, layers: Layers, folder: Folder) -> None:
    line = override.input_line or ""
    path = _numbered(split_key(override.key_or_group), layers)
    if override.is_delete() and isinstance(path[-1], int):
        remedy = "Give the whole list: `key=[…]`."
        message = "A single item of a list cannot be removed."
        raise SpecError([Problem("override", message, Origin(override=line), path, remedy=remedy)])
    with translated(folder, [override], certain=True):
        ConfigLoaderImpl._apply_overrides_to_config([override], config)  # noqa: SLF001 - Hydra has no public way
    if override.is_delete():
        layers.remove(path)
        return
    text: dict[KeyPath, str] = {} if isinstance(override.value(), str) else {(): line.partition("=")[2]}
    layers.lay(path, override.value(), lambda _: Origin(override=line), text)


def _numbered(parts: Sequence[str], layers: Layers) -> KeyPath:
    """The path with the positions in lists as numbers."""
    path: KeyPath = ()
    for part in parts:
        inside_list = isinstance(layers.get(path), list) and re.fullmatch(r"-?[0-9]+", part)
        path = (*path, int(part) if inside_list else part)
    return path


def _paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    yield path
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


@contextmanager
def _hydra_version() -> Iterator[None]:
    """Hydra 1.3's rules for as long as a composition lasts; whoever else uses Hydra in this process keeps theirs."""
    instance = version.VersionBase.instance()
    before = instance.version_base
    version.setbase("1.3")
    try:
        with warnings.catch_warnings():
            # A spec without `_self_` is composed last, as it should be; Hydra's warning about it is for its 1.0 users.
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        instance.version_base = before
