"""The commands, and the one place where errors become a message and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from hfspec import __version__
from hfspec.cli import artifact_commands, compile_commands, spec_commands
from hfspec.cli.exit_codes import exit_code
from hfspec.errors import HfspecError, SpecError

app = typer.Typer(
    name="hfspec",
    help="Describe the deployment of a Hugging Face model in YAML, compile it, run it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (spec_commands, compile_commands, artifact_commands):
    module.register(app)


@app.callback(invoke_without_command=True)
def options(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Describe the deployment of a Hugging Face model in YAML, compile it, run it."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command in sys.argv and exit: 0 good, 1 spec wrong, 2 usage, 3 the world failed, 4 not verified."""
    try:
        app()
    except HfspecError as error:
        print(_message(error), file=sys.stderr)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        print("hfspec: interrupted; nothing was put in place", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read our output has left; do not fail again when Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


def _message(error: HfspecError) -> str:
    if isinstance(error, SpecError):
        from hfspec.report.problems import render

        return render(error.problems, "text")
    return f"hfspec: {error}"
