"""The state of each patch for one predictor, on or off and why: from its trial, for the predictor's table."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from hfspec.errors import UsageError
from hfspec.runtime.patches.table import CHOICES, NONE, PATCHES


class State(NamedTuple):
    """Whether a patch is on, and why it is or is not."""

    on: bool
    why: str


SWITCHED_OFF = State(on=False, why="Switched off by patches='none'.")
OF_NO_USE = State(on=False, why="This model has no use for it.")
States: TypeAlias = Mapping[str, State]


class Patched(NamedTuple):
    """A model, and the states of the patches tried on it."""

    model: Any
    states: States


def together(*states: States) -> States:
    """The states of several trials, as one mapping that cannot be changed."""
    return MappingProxyType({name: state for some in states for name, state in some.items()})


def checked_choice(choice: str) -> str:
    """The choice, ``all`` or ``none``; raises UsageError for anything else."""
    if choice not in CHOICES:
        raise UsageError(f"patches must be one of {', '.join(CHOICES)}, not {choice!r}.")
    return choice


def hindrance(choice: str, name: str) -> State | None:
    """The state of a patch that may not be tried: it is switched off, or was not tested with the libraries installed
    here. None where it may be.
    """
    if choice == NONE:
        return SWITCHED_OFF
    for package, (first, last) in PATCHES[name].tested.items():
        version = str(import_module(package).__version__)
        if not _numbers(first) <= _numbers(version) <= _numbers(last):
            span = first if first == last else f"{first} to {last}"
            return State(on=False, why=f"It was tested with {package} {span}, and {version} is installed.")
    return None


def every_state(choice: str, tried: States) -> dict[str, State]:
    """The state of every patch by its name: the trial's, or why there was none."""
    if choice == NONE:
        return dict.fromkeys(PATCHES, SWITCHED_OFF)
    return dict.fromkeys(PATCHES, OF_NO_USE) | dict(tried)


def _numbers(version: str) -> tuple[int, ...]:
    """The first two numbers of a version."""
    return tuple(int("".join(letter for letter in part if letter.isdigit()) or 0) for part in version.split(".")[:2])
