"""``${name}``: which interpolations a spec may hold, and their values.

A reference to another key of the spec is allowed. A resolver (``${oc.env:HOME}``) would put something of the machine
into the artifact, so that the same spec would not be the same bytes; none is allowed, and this is decided on the text's
own grammar before anything is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.language.provenance import MISSING

MARK = "${"
MAX_REFERENCES = 24
MAX_TEXT = 2048
MAX_VALUES = 20_000


def texts(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Every text of a document that holds an interpolation, keys included, with its path."""
    if isinstance(value, str):
        if MARK in value:
            yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str) and MARK in key:
                yield (*path, key), key
            yield from texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))


def faults(value: Any) -> Iterator[Problem]:
    """A problem, still without a place, for every interpolation that is not allowed."""
    found = list(texts(value))
    for path, text in found:
        if message := _fault(text):
            remedy = "Refer to another key of the spec, `${model.repo}`, or give the value on the command line."
            yield Problem("interpolation", message, path=path, found=text[:200], remedy=remedy)
    if are_too_many(found):
        message = f"The spec holds more than {MAX_REFERENCES} interpolations."
        yield Problem("interpolation", message, path=found[0][0], remedy="Write some of the values out.")


def are_too_many(found: Sequence[tuple[KeyPath, str]]) -> bool:
    """Whether texts, as ``texts`` gives them, hold more interpolations than a spec may."""
    return sum(text.count(MARK) for _, text in found) > MAX_REFERENCES


def _fault(text: str) -> str:
    from omegaconf.errors import GrammarParseError
    from omegaconf.grammar_parser import parse

    if len(text) > MAX_TEXT:
        return f"A text with an interpolation may have {MAX_TEXT} characters; this one has {len(text)}."
    if text.count(MARK) > MAX_REFERENCES:
        return f"A text may hold {MAX_REFERENCES} interpolations."
    try:
        names = list(_resolvers(parse(text)))
    except (GrammarParseError, RecursionError):
        return "The interpolation is not well formed; write `\\${` for the characters themselves."
    if names:
        return f"The resolver `{names[0]}` is not allowed in a spec: it would not mean the same everywhere."
    return ""


def _resolvers(tree: Any) -> Iterator[str]:
    """The names of all resolvers in a parse tree, those inside other interpolations included."""
    if type(tree).__name__ == "InterpolationResolverContext":
        yield tree.resolverName().getText()
    for child in getattr(tree, "children", None) or ():
        yield from _resolvers(child)


class Resolution:
    """Plain values of a composed config with every interpolation replaced, and a problem for each that has none."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._budget = MAX_VALUES

    def plain(self, node: Any, path: KeyPath = ()) -> Any:
        """The node's value; ``???``, and a problem, where it cannot be had."""
        self._budget -= 1
        if self._budget < 0 or len(path) > 64:
            self._report(path, "The interpolations refer to each other without end.")
            return MISSING
        if node is not None and node._is_interpolation():  # noqa: SLF001 - omegaconf offers no public way to ask
            return self._target(node, path)
        return self._children(node, path)

    def _target(self, node: Any, path: KeyPath) -> Any:
        from omegaconf.errors import OmegaConfBaseException

        try:
            target = node._dereference_node()  # noqa: SLF001 - the same
        except (OmegaConfBaseException, RecursionError, ValueError, TypeError) as error:
            first = (str(error).splitlines() or [type(error).__name__])[0]
            self._report(path, f"The interpolation has no value: {first}.", found=str(node._value()))  # noqa: SLF001
            return MISSING
        return self._children(target, path)

    def _children(self, node: Any, path: KeyPath) -> Any:
        if node is None:
            return None
        value = node._value()  # noqa: SLF001 - the same
        if isinstance(value, dict):
            return {key: self.plain(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.plain(item, (*path, index)) for index, item in enumerate(value)]
        return thaw(value)

    def _report(self, path: KeyPath, message: str, found: str = "") -> None:
        if not any(problem.message == message and problem.path == path[:64] for problem in self.problems):
            remedy = "Name a key that the spec has, by its full path."
            self.problems.append(Problem("interpolation", message, path=path[:64], found=found, remedy=remedy))
