"""A fleet file, or artifacts, and overrides -> Fleet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

from hfspec.errors import HfspecError, SpecError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import SPEC_SUFFIXES
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.problem import KeyPath, Origin, Problem
from hfspec.ir.tree import Tree
from hfspec.language import checking
from hfspec.language.reading import read_tree
from hfspec.language.yaml12 import Document
from hfspec.serving.fleet import world
from hfspec.serving.fleet.api_keys import SETTINGS, api_keys
from hfspec.serving.fleet.kinds import FLEET
from hfspec.serving.fleet.places import fleet_places, parent_of, place_of
from hfspec.serving.fleet.values import Fleet, parse

ARTIFACTS = "the artifacts given"
Checks: TypeAlias = Callable[[Tree], Iterable[Problem]]


@dataclass(frozen=True, slots=True)
class FleetSource:
    """The targets of a server's command, so that they can be read again.

    ``targets``: one fleet file, or the folders of artifacts. ``overrides``: Hydra's, ``key=value``. ``checks``: further
    checks that the fleet must pass.
    """

    targets: tuple[Path, ...]
    overrides: tuple[str, ...] = ()
    checks: Checks | None = None

    def load(self) -> Fleet:
        """The fleet as it is now; raises as load_fleet and fleet_of."""
        files = [target for target in self.targets if target.suffix in SPEC_SUFFIXES and not target.is_dir()]
        if not files:
            return fleet_of(self.targets, self.overrides, self.checks)
        if len(self.targets) > 1:
            raise UsageError(f"give one fleet file, or artifacts, not {files[0]} with others; name them in {files[0]}")
        return load_fleet(files[0], self.overrides, self.checks)


def load_fleet(path: Path, overrides: Sequence[str] = (), checks: Checks | None = None) -> Fleet:
    """The fleet in a file.

    Args:
        path: The fleet file.
        overrides: Hydra's overrides, ``key=value``.
        checks: Further checks that the fleet must pass.

    Returns:
        The fleet, with absolute paths, the digests of all API keys, and the limits and endpoints that the artifacts
        state where the file says nothing of them.

    Raises:
        SpecError: With every problem found.
        UsageError: When the file cannot be read.
    """
    return _fleet(read_tree(path, overrides, FLEET), checks)


def fleet_of(artifacts: Sequence[Path], overrides: Sequence[str] = (), checks: Checks | None = None) -> Fleet:
    """The fleet of these artifacts, each under the name in its manifest, on a server with the defaults.

    Args:
        artifacts: Their folders.
        overrides: Hydra's overrides of a fleet file with these artifacts, such as ``models.minilm.replicas=2``.
        checks: Further checks that the fleet must pass.

    Returns:
        The fleet.

    Raises:
        SpecError: With every problem found.
        UsageError: When two artifacts have one name.
    """
    from hfspec.language.composition import compose_in
    from hfspec.language.documents import Alone

    document = _document([Path(artifact) for artifact in artifacts])
    if not overrides:
        return _fleet(Tree(ARTIFACTS, document.value, document.origins), checks)
    folder = Alone(Path("fleet.yaml"), document, FLEET)
    return _fleet(compose_in(folder, ARTIFACTS, list(overrides)).tree(), checks)


def problems(path: Path, overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Everything that is wrong with a fleet file; raises UsageError when it cannot be read."""
    try:
        _fleet(read_tree(path, overrides, FLEET))
    except SpecError as error:
        return error.problems
    return ()


def _document(artifacts: Sequence[Path]) -> Document:
    """A fleet file of these artifacts, in place of a written one."""
    folders: dict[str, Path] = {}
    for artifact in artifacts:
        name = _name(artifact)
        if name in folders:
            raise UsageError(_same_name(name, folders[name], artifact))
        folders[name] = artifact
    models = {name: {"artifact": str(folder)} for name, folder in folders.items()}
    origins: dict[KeyPath, Origin] = {(): Origin(override=" ".join(map(str, artifacts))), ("models",): Origin()}
    for name, folder in folders.items():
        at = Origin(override=str(folder))
        origins |= {("models", name): at, ("models", name, "artifact"): at}
    return Document(ARTIFACTS, FrozenDict({"models": models}), origins, {}, "")


def _name(artifact: Path) -> str:
    """The name in the manifest; the folder's name where no manifest can be read, which is a problem later."""
    try:
        return read_manifest(artifact).name
    except HfspecError:
        return artifact.absolute().name


def _same_name(name: str, first: Path, second: Path) -> str:
    if first.absolute() == second.absolute():
        return f"{first} is given twice; to have two processes of it, write models.{name}.replicas=2"
    return (
        f"{first} and {second} are both called {name}; name them in a fleet file:\n"
        f"models:\n  {name}: {{artifact: {first}}}\n  {name}-2: {{artifact: {second}}}"
    )


def _fleet(tree: Tree, checks: Checks | None = None) -> Fleet:
    further = chain(world.problems(tree), checks(tree) if checks else ())
    if faults := checking.problems(tree, FLEET, further):
        raise SpecError(faults)
    document = thaw(tree.value)
    _make_absolute(tree, document)
    for entry in document["models"].values():
        _lay_under(entry, thaw(read_manifest(Path(entry["artifact"])).serving))
    if tree.at(SETTINGS) is not None:
        document["server"]["api_keys"]["keys"] = [key.model_dump() for key in api_keys(tree)]
    try:
        return parse(document)
    except ValueError as error:  # the schema and the rules come first; tests show that nothing gets past them
        message = f"The fleet file is not valid: {' '.join(str(error).split())}."
        raise SpecError([Problem("invalid", message, tree.origin(()))]) from error


def _make_absolute(tree: Tree, document: dict[str, Any]) -> None:
    for path in list(fleet_places(document)):
        place, parent = place_of(tree, path), parent_of(document, path)
        if place is not None and parent is not None:
            parent[str(path[-1])] = str(place)


def _lay_under(entry: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Fill in the artifact's defaults where the fleet says nothing."""
    for key, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(entry.get(key), dict):
            _lay_under(entry[key], value)
        elif entry.get(key) is None:
            entry[key] = value
