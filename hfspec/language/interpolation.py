"""``${name}``: which interpolations a document may hold, and their values.

A reference to another key of the document is allowed. In a spec a resolver (``${oc.env:HOME}``) would put something of
the machine into the artifact, so that the same spec would not be the same bytes; none is allowed there, and this is
decided on the text's own grammar before anything is evaluated. A document that is not compiled may take values from the
environment, which are then shown nowhere.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.language.kind import SPEC, DocumentKind
from hfspec.language.provenance import MISSING

MARK = "${"
ENVIRONMENT = "oc.env:"
# An interpolation that takes a variable of the environment, and refers to no key.
VARIABLE = re.compile(r"\$\{oc\.env:([A-Za-z_][A-Za-z0-9_]*)[^${}]*\}")
MAX_REFERENCES = 24
MAX_TEXT = 2048
MAX_VALUES = 20_000


def texts(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Find the texts of a document that hold an interpolation, keys included.

    Args:
        value: The document.
        path: The path of ``value``.

    Yields:
        The path of each text, and the text.
    """
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


def unset_variable(name: str) -> str:
    """The sentence about an environment variable that a document names and nobody has set."""
    return f"The environment variable `{name}` is not set."


def faults(value: Any, kind: DocumentKind = SPEC) -> Iterator[Problem]:
    """Check the interpolations of a document.

    Args:
        value: The document, in plain values.
        kind: What kind of document it is.

    Returns:
        A problem, still without a place, for each that is not allowed.
    """
    references = list(texts(value))
    for path, text in references:
        if message := _fault(text, kind):
            advice = f"Refer to another key of the {kind.noun}, `{kind.reference}`"
            remedy = f"{advice}, or give the value on the command line."
            yield Problem("interpolation", message, path=path, found=text[:200], remedy=remedy)
    if are_too_many(references, kind):
        message = f"The {kind.noun} holds more than {MAX_REFERENCES} interpolations."
        yield Problem("interpolation", message, path=references[0][0], remedy="Write some of the values out.")


def are_too_many(references: Sequence[tuple[KeyPath, str]], kind: DocumentKind = SPEC) -> bool:
    """Tell whether a document holds more interpolations than it may.

    Args:
        references: The texts with an interpolation, as ``texts`` gives them.
        kind: The kind of document: a spec, or another.

    Returns:
        Whether it does. A text that only takes a variable of the environment does not count: it refers to nothing, so
        that no value grows by it.
    """
    others = sum(len(VARIABLE.findall(text)) for _, text in references) if kind.resolvers else 0
    return sum(text.count(MARK) for _, text in references) - others > MAX_REFERENCES


def _fault(text: str, kind: DocumentKind) -> str:
    from omegaconf.errors import GrammarParseError
    from omegaconf.grammar_parser import parse

    if len(text) > MAX_TEXT:
        return f"A text with an interpolation may have {MAX_TEXT} characters; this one has {len(text)}."
    if text.count(MARK) > MAX_REFERENCES:
        return f"A text may hold {MAX_REFERENCES} interpolations."
    try:
        names = [name for name in _resolvers(parse(text)) if name not in kind.resolvers]
    except (GrammarParseError, RecursionError):
        return "The interpolation is not well formed; write `\\${` for the characters themselves."
    return _refused(names, kind) if names else _unplain(text)


def _refused(names: list[str], kind: DocumentKind) -> str:
    if kind.resolvers:
        return f"The resolver `{names[0]}` is not allowed; {' and '.join(sorted(kind.resolvers))} are."
    return f"The resolver `{names[0]}` is not allowed in a {kind.noun}: it would not mean the same everywhere."


def _unplain(text: str) -> str:
    """The complaint where a variable of the environment is not named as it is, so that nobody can tell whose value to
    hide; empty where each is.
    """
    if text.count(ENVIRONMENT) == len(VARIABLE.findall(text)):
        return ""
    return "A variable of the environment is named as it is: `${oc.env:NAME}`, or `${oc.env:NAME,default}`."


def _resolvers(tree: Any) -> Iterator[str]:
    """The names of all resolvers in a parse tree, those inside other interpolations included."""
    if type(tree).__name__ == "InterpolationResolverContext":
        yield tree.resolverName().getText()
    for child in getattr(tree, "children", None) or ():
        yield from _resolvers(child)


def _taken(value: Any) -> frozenset[str]:
    """The values of the environment that a document takes."""
    names = {name for _, text in texts(value) for name in VARIABLE.findall(text)}
    return frozenset(os.environ[name] for name in names if os.environ.get(name))


class Resolution:
    """Plain values of a composed config with every interpolation replaced, and a problem for each that has none.

    ``hidden``: the paths of values that hold one of the environment, with the interpolation that took it.
    """

    def __init__(self, kind: DocumentKind, config: Any) -> None:
        """``config``: the config's plain values as they stand in the files and overrides."""
        self.problems: list[Problem] = []
        self.hidden: dict[KeyPath, str] = {}
        self._kind = kind
        self._taken = _taken(config) if kind.resolvers else frozenset()
        self._budget = MAX_VALUES

    def plain(self, node: Any, path: KeyPath = ()) -> Any:
        """Take a value out of the resolved document.

        Args:
            node: A node of omegaconf's.
            path: Its key path.

        Returns:
            Its value; ``???``, and a problem, where it cannot be had.
        """
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
            self._without_value(str(node._value()), first, path)  # noqa: SLF001
            return MISSING
        value = self._children(target, path)
        text = str(node._value())  # noqa: SLF001
        if ENVIRONMENT in text or any(name in str(value) for name in self._taken):
            self.hidden[path] = text
        return value

    def _without_value(self, text: str, reason: str, path: KeyPath) -> None:
        """Report that an interpolation has no value; what omegaconf said may quote the environment."""
        unset = [name for name in VARIABLE.findall(text) if name not in os.environ]
        if not self._kind.resolvers or ":" not in text:
            self._report(path, f"The interpolation has no value: {reason}.", found=text)
        elif unset:
            remedy = f"Set it, or write a default: `${{oc.env:{unset[0]},default}}`."
            self._report(path, unset_variable(unset[0]), found=text, remedy=remedy)
        else:
            remedy = "`oc.decode` takes a text that is a number, true, false, null, a list or a mapping."
            self._report(path, "The interpolation has no value.", found=text, remedy=remedy)

    def _children(self, node: Any, path: KeyPath) -> Any:
        if node is None:
            return None
        value = node._value()  # noqa: SLF001 - the same
        if isinstance(value, dict):
            return {key: self.plain(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [self.plain(item, (*path, index)) for index, item in enumerate(value)]
        return thaw(value)

    def _report(self, path: KeyPath, message: str, found: str = "", remedy: str = "") -> None:
        if not any(problem.message == message and problem.path == path[:64] for problem in self.problems):
            remedy = remedy or f"Name a key that the {self._kind.noun} has, by its full path."
            self.problems.append(Problem("interpolation", message, path=path[:64], found=found, remedy=remedy))
