"""The API keys of a fleet, from a file, a variable of the environment, and the fleet file itself; as digests only."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from hfspec.errors import SpecError
from hfspec.ir.frozen import thaw
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree
from hfspec.language import checking
from hfspec.language.interpolation import unset_variable
from hfspec.language.yaml12 import MAX_BYTES, read_yaml
from hfspec.redaction import HIDDEN
from hfspec.serving.fleet.kinds import KEYS
from hfspec.serving.fleet.places import missing_file, place_of
from hfspec.serving.fleet.values import ApiKey

SETTINGS: KeyPath = ("server", "api_keys")


def digest_of(key: str) -> str:
    """The sha256 of a key, in hex, which stands for it."""
    return hashlib.sha256(key.encode()).hexdigest()


def api_keys(tree: Tree) -> tuple[ApiKey, ...]:
    """Every key of a fleet whose shape is good, without its text. Raises SpecError with every problem of the keys."""
    keys, problems = keys_elsewhere(tree)
    keys += [_without_text(ApiKey.model_validate(thaw(key))) for key in tree.at((*SETTINGS, "keys")) or ()]
    problems += _doubles(tree, keys)
    if problems:
        raise SpecError(problems)
    return tuple(keys)


def keys_elsewhere(tree: Tree) -> tuple[list[ApiKey], list[Problem]]:
    """The keys in the file and in the variable that a fleet names, and every problem there."""
    keys: list[ApiKey] = []
    problems: list[Problem] = []
    for path, document in _documents(tree, problems):
        faults = checking.problems(document, KEYS)
        problems += [replace(fault, path=(*path, *fault.path)) for fault in faults]
        keys += [] if faults else [_without_text(ApiKey.model_validate(key)) for key in thaw(document.value)["keys"]]
    return keys, problems


def _documents(tree: Tree, problems: list[Problem]) -> Iterator[tuple[KeyPath, Tree]]:
    """The lists of keys outside the fleet file, each with the key path that names its place."""
    file, variable = (*SETTINGS, "file"), (*SETTINGS, "environment")
    place, name = place_of(tree, file), tree.at(variable)
    if place is not None:
        try:
            with place.open("rb") as stream:
                yield from _document(tree, file, stream.read(MAX_BYTES + 1), str(tree.at(file)), problems)
        except OSError as error:
            problems.append(_unreadable(tree, file, place, error))
    if isinstance(name, str):
        text = os.environ.get(name)
        if text is None:
            problems.append(Problem("api-keys", unset_variable(name), tree.origin(variable), variable))
        else:
            source = f"the environment variable {name}"
            yield from _document(tree, variable, text.encode(errors="surrogateescape"), source, problems)


def _unreadable(tree: Tree, path: KeyPath, place: Path, error: OSError) -> Problem:
    if isinstance(error, FileNotFoundError):
        return missing_file(tree, path)
    message = f"The file {place} cannot be read: {error.strerror or error}."
    return Problem("api-keys", message, tree.origin(path), path)


def _document(
    tree: Tree, path: KeyPath, data: bytes, source: str, problems: list[Problem]
) -> Iterator[tuple[KeyPath, Tree]]:
    source = tree.hidden.get(path, source)
    try:
        document = read_yaml(data, source, KEYS)
        faults: tuple[Problem, ...] = document.problems
    except SpecError as error:
        problems += [_without_quotes(problem) for problem in error.problems]
        return
    if faults:
        problems += [_without_quotes(problem) for problem in faults]
        return
    yield path, Tree(source, document.value, document.origins, document.texts)


def _without_quotes(problem: Problem) -> Problem:
    """A problem of the YAML itself without its quotation, which may be a key."""
    message = re.sub(r"`[^`]*`", HIDDEN, problem.message)
    remedy = problem.remedy if message == problem.message else "Quote the keys."
    return replace(problem, message=message, found="", remedy=remedy)


def _without_text(key: ApiKey) -> ApiKey:
    if key.key is None:
        return key
    return ApiKey.model_validate({"name": key.name, "sha256": digest_of(key.key), "scopes": key.scopes})


def _doubles(tree: Tree, keys: list[ApiKey]) -> Iterator[Problem]:
    owners: dict[Any, str] = {}
    for key in keys:
        for what, value in (("name", key.name), ("key", key.sha256)):
            if (what, value) in owners:
                message = f"Two API keys have the same {what}: {owners[what, value]!r} and {key.name!r}."
                yield Problem("api-keys", message, tree.origin(SETTINGS), SETTINGS, remedy="Remove one of them.")
            owners[what, value] = key.name
