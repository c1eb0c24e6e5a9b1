"""Arguments that several commands have."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.completion import complete_overrides


class Format(StrEnum):
    """How a report is written."""

    text = "text"
    json = "json"


class ProblemFormat(StrEnum):
    """How problems are written."""

    text = "text"
    json = "json"
    github = "github"


class Link(StrEnum):
    """How a weight file gets into an artifact that is taken as it is."""

    copy = "copy"
    hardlink = "hardlink"
    reflink = "reflink"


LinkOption = Annotated[
    Link,
    typer.Option(
        help="How weight files get into the artifact: a copy, or a hard link or reflink to the source's own bytes."
    ),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--source", metavar="ROLE=FOLDER", help="Where the weights are that the artifact refers to, as model=FOLDER."
    ),
]
FormatOption = Annotated[Format, typer.Option("--format", help="text for a person, json for a program.")]
QuietOption = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no notes on stderr.")]
SpecFile = Annotated[Path, typer.Argument(metavar="SPEC", help="The spec, a YAML file.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="KEY=VALUE",
        help="Hydra overrides: any key of the schema, whether or not the file has it.",
        autocompletion=complete_overrides,
    ),
]


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part the arguments that are paths from those that are overrides.

    Args:
        arguments: The arguments; an override is ``key=value`` or ``~key`` and names no file.

    Returns:
        The paths, and the overrides.
    """
    overrides = [text for text in arguments if _is_override(text)]
    return [text for text in arguments if text not in overrides], overrides


def quoted(value: object) -> str:
    """Write a value as Hydra's overrides take it.

    Args:
        value: A number, or a text of any characters.

    Returns:
        The value, in quotes where it is a text.
    """
    if isinstance(value, int):
        return str(value)
    # Hydra takes a backslash for itself, but where a quote follows.
    text = re.sub(r"(\\+)(?='|$)", r"\1\1", str(value)).replace("'", "\\'")
    return f"'{text}'"


def _is_override(text: str) -> bool:
    if os.path.lexists(text):
        return False
    return text.startswith(("+", "~")) or bool(re.match(r"[A-Za-z_][\w.@/-]*=", text))


Locked = Annotated[
    bool, typer.Option("--locked", help="Take exactly what SPEC.lock says, and refuse whatever differs from it.")
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The artifact's folder.")]
SignatureFile = Annotated[
    Path | None, typer.Option("--signature", metavar="FILE", help="The signature; by default DIR.sig, beside DIR.")
]
OnlyContent = Annotated[
    bool, typer.Option("--content", help="Of locks only the spec, the commits, the bytes and the templates.")
]
OnlyEnvironment = Annotated[bool, typer.Option("--environment", help="Of locks only the Python and the packages.")]
