"""The commands, and the one place where errors become a message and an exit code."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import Annotated, NoReturn

import typer

from hfspec import __version__
from hfspec.cli import (
    artifact_commands,
    batch_command,
    check_command,
    compile_commands,
    diff_command,
    export_commands,
    init_command,
    lock_commands,
    mlflow_commands,
    report_command,
    schema_commands,
    serve_command,
    sign_command,
    spec_commands,
)
from hfspec.cli.exit_codes import INTERRUPTED, READER_LEFT, WORLD, exit_code, message
from hfspec.errors import HfspecError, remedy
from hfspec.redaction import redacted

app = typer.Typer(
    name="hfspec",
    help="Describe the deployment of a Hugging Face model in YAML, compile it, run it.",
    epilog="Exit codes: 0 good, 1 the spec is wrong, 2 usage, 3 the world failed (hub, disk), 4 verification failed, "
    "5 a lock does not hold, 6 lines of predict --jsonl that cannot be answered, 7 more rows of a batch failed than "
    "--max-errors allows. With any command: --debug shows the traceback of an error, for a report of a bug.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    init_command,
    spec_commands,
    schema_commands,
    lock_commands,
    check_command,
    compile_commands,
    artifact_commands,
    serve_command,
    batch_command,
    sign_command,
    diff_command,
    report_command,
    mlflow_commands,
    export_commands,
)
for module in COMMANDS:
    module.register(app)


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[  # noqa: ARG001 - main takes it out, wherever it stands; here it is for --help
        bool, typer.Option("--debug", help="With any command: the traceback of an error, for a report of a bug.")
    ] = False,
) -> None:
    """Describe the deployment of a Hugging Face model in YAML, compile it, run it."""
    if version:
        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command in sys.argv and exit: 0 good, 1 spec wrong, 2 usage, 3 the world failed, 4 not verified,
    5 a lock does not hold, 6 lines of predict --jsonl that cannot be answered, 7 too many rows of a batch failed.
    """
    _print_anything()
    arguments, debug = _arguments(sys.argv[1:])
    try:
        with _traced(debug=debug):
            code = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, where what it cannot write still has a message and an exit code
    except HfspecError as error:
        _leave(message(error), exit_code(error))
    except BrokenPipeError:
        _leave("", READER_LEFT)
    except OSError as error:
        _leave(f"hfspec: {_said(error)}", WORLD)
    except Exception as error:  # noqa: BLE001 - the one place where a fault of ours becomes a line, not a traceback
        more = "" if debug else "; run it again with --debug, and report the traceback"
        _leave(f"hfspec: unexpected {type(error).__name__}: {' '.join(str(error).split())}{more}", WORLD)
    if code == INTERRUPTED:
        _leave("hfspec: interrupted; no artifact is half written", INTERRUPTED)
    sys.exit(code)


def _arguments(argv: Sequence[str]) -> tuple[list[str], bool]:
    """The arguments without ``--debug``, which may stand anywhere before ``--``, and whether it was there.

    A predictor, which has arguments of its own, is given it again.
    """
    end = argv.index("--") if "--" in argv else len(argv)
    debug = "--debug" in argv[:end]
    arguments = [argument for argument in argv[:end] if argument != "--debug"] + list(argv[end:])
    if debug and arguments[:1] == ["predict"]:
        arguments.insert(2, "--debug")
    return arguments, debug


@contextmanager
def _traced(*, debug: bool) -> Iterator[None]:
    try:
        yield
    except Exception:
        if debug:
            sys.stderr.write(redacted(traceback.format_exc()))
        raise


def _run(arguments: Sequence[str]) -> int:
    try:
        app(list(arguments))
    except SystemExit as left:
        if isinstance(left.__context__, BrokenPipeError):
            raise left.__context__ from None
        return left.code if isinstance(left.code, int) else 0
    return 0


def _print_anything() -> None:
    """Paths and texts reach stdout and stderr whatever the locale: a path's bytes as they are, the rest escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            is_unicode = stream.encoding.lower().startswith("utf")
            stream.reconfigure(errors="surrogateescape" if is_unicode else "backslashreplace")


def _leave(message: str, code: int) -> NoReturn:
    with suppress(OSError):  # nobody may be left to read it
        if message:
            print(redacted(message), file=sys.stderr)
    with suppress(OSError):
        # Output that could not be written is given up, so that Python does not fail on it again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(code)


def _said(error: OSError) -> str:
    """The text of an error that no stage has put into words; without a file's name it is of a standard stream."""
    more = remedy(error)
    return f"{error.strerror or error}: {error.filename or 'standard output'}{f'; {more}' if more else ''}"
