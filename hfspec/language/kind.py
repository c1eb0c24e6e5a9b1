"""The kinds of documents that are written in the language: specs, and those of other rooms, such as fleet files.

All of them are read, composed and checked by the same functions, which take what differs from here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree

# In a path of keys, where people choose the key themselves.
ANY_NAME = "<name>"


def _none(tree: Tree) -> Mapping[KeyPath, str]:  # noqa: ARG001
    return {}


def _as_found(tree: Tree, problems: Sequence[Problem]) -> Sequence[Problem]:  # noqa: ARG001
    return problems


@dataclass(frozen=True, slots=True)
class DocumentKind:
    """The names, shape and rules of one kind of document."""

    noun: str
    """Its name in messages; the plural ends in s."""
    beginning: str
    """The remedy for an empty one."""
    schema: Callable[[], dict[str, Any]]
    """The JSON Schema of a composed one, which has no ``defaults`` left."""
    definition: str
    """The definition in that schema that has the keys of the top level."""
    rules: Callable[[Tree], Iterator[Problem]]
    """Its rules beyond its shape."""
    reference: str
    """An interpolation that it may hold, as an example."""
    as_whole: Callable[[Tree, Sequence[Problem]], Sequence[Problem]] = _as_found
    """Its problems, told otherwise where they have one common reason."""
    free: tuple[KeyPath, ...] = ()
    """Mappings whose keys the language does not choose."""
    has_task: bool = False
    """Whether it names a library and a task, whose settings it may hold."""
    resolvers: frozenset[str] = frozenset()
    """The resolvers that its interpolations may call."""
    secrets: Callable[[Tree], Mapping[KeyPath, str]] = _none
    """The values that are shown nowhere, with what is shown in their place."""
    sweeps: bool = False
    """Whether a command takes several values for a key of it."""

    @property
    def plural(self) -> str:
        return f"{self.noun}s"


def _spec_schema() -> dict[str, Any]:
    from hfspec.language import composed

    return composed.schema()


def _spec_rules(tree: Tree) -> Iterator[Problem]:
    from hfspec.language import rules

    return rules.problems(tree)


def _spec_as_whole(tree: Tree, problems: Sequence[Problem]) -> Sequence[Problem]:
    from hfspec.language import parts

    return parts.as_part(tree, problems)


SPEC = DocumentKind(
    noun="spec",
    beginning="Write the spec, or begin with `hfspec init`.",
    schema=_spec_schema,
    definition="Spec",
    rules=_spec_rules,
    as_whole=_spec_as_whole,
    reference="${model.repo}",
    free=(("metadata",), ("input_example",), ("signature", "params")),
    has_task=True,
    sweeps=True,
)
