"""sign: a key's word for an artifact."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import Folder, SignatureFile


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Sign an artifact with a private key.")(sign)


def sign(
    folder: Folder,
    key: Annotated[
        Path,
        typer.Option("--key", metavar="PRIVATE", help="An elliptic-curve private key, a PEM file.", show_default=False),
    ],
    signature: SignatureFile = None,
) -> None:
    """Sign an artifact, every byte of which is checked first; the last line printed is the signature's path.

    The password of a protected key is taken from HFSPEC_KEY_PASSWORD, or asked for on a terminal.
    """
    from hfspec import compiler

    print(compiler.sign(folder, key, signature=signature, password=_password(key)))


def _password(key: Path) -> str | None:
    from hfspec.artifact.signing_keys import PASSWORD, is_protected

    password = os.environ.get(PASSWORD)
    if password or not is_protected(key) or not (sys.stdin and sys.stdin.isatty()):
        return password
    return str(typer.prompt(f"Password of {key}", hide_input=True, err=True))
