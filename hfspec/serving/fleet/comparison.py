"""The differences of two fleet files, by meaning."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.comparison.change import Change, changes
from hfspec.comparison.diff import file_of
from hfspec.comparison.parts import account, hide_environment
from hfspec.errors import SpecError, UsageError
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.tree import Tree
from hfspec.language import checking
from hfspec.language.reading import read_tree
from hfspec.serving.fleet.kinds import FLEET
from hfspec.serving.fleet.places import fleet_places, parent_of, place_of
from hfspec.serving.fleet.recognition import is_fleet_side
from hfspec.serving.fleet.values import Fleet, FleetModel, parse


def fleet_diff(a: str, b: str | None = None, overrides: Sequence[str] = ()) -> tuple[Change, ...]:
    """The changes from ``a`` to ``b``; empty where both say the same. Artifacts are not read.

    Each is a fleet file, also as ``FILE@REVISION`` of git. ``overrides`` are laid over both; without ``b`` the changes
    are those that they make in ``a``. Raises SpecError, UsageError where only one is a fleet file, and WorldError.
    """
    for side in (a, b if b is not None else a):
        if not is_fleet_side(side):
            raise UsageError(f"{side} is not a fleet file, as the other is; compare two of a kind")
    before, after = _read(a, () if b is None else overrides), _read(a if b is None else b, overrides)
    both = {model.name for model in before.fleet.models} & {model.name for model in after.fleet.models}
    return changes(_account(before, both), _account(after, both))


@dataclass(frozen=True, slots=True)
class _Side:
    """A fleet file that has been read. ``place``: a folder -> where the reader knows that folder to be."""

    fleet: Fleet
    tree: Tree
    place: Callable[[Path], Path]


def _read(side: str, overrides: Sequence[str]) -> _Side:
    with file_of(side) as (file, place):
        tree = read_tree(file, overrides, FLEET)
        if problems := checking.problems(tree, FLEET):
            raise SpecError(problems)
        return _Side(parse(thaw(tree.value)), tree, place)


def _account(side: _Side, both: Collection[str]) -> FrozenDict:
    """The content of a fleet, defaults included; a model that only one side has is given as it is written."""
    models = {model.name: _model(model, brief=model.name not in both) for model in side.fleet.models}
    server = side.fleet.server.model_dump(mode="json", exclude_none=True)
    document: dict[str, Any] = {"models": models, "server": server}
    for path in fleet_places(document):
        meant, parent = place_of(side.tree, path, side.place), parent_of(document, path)
        if meant is not None and parent is not None:
            parent[str(path[-1])] = (
                meant.relative_to(Path.cwd()) if meant.is_relative_to(Path.cwd()) else meant
            ).as_posix()
    hide_environment(document, side.tree)
    if keys := server.get("api_keys", {}).get("keys"):
        server["api_keys"]["keys"] = {key.pop("name"): key for key in keys}
    return account(document)


def _model(model: FleetModel, *, brief: bool) -> dict[str, Any]:
    values = model.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=brief)
    return {key: value for key, value in values.items() if key != "name" and value not in ({}, [])}
