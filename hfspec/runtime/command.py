"""The command line of an artifact's own predictor.py: texts or JSON in, one JSON document out, or a line for a line."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, cast

from hfspec.errors import (
    HfspecError,
    OutOfMemoryError,
    OutputError,
    StorageError,
    UsageError,
    VerificationError,
    WorldError,
)
from hfspec.redaction import redacted
from hfspec.runtime.io.json_lines import JsonLines, UnansweredLinesError
from hfspec.runtime.patches.table import ALL, CHOICES

if TYPE_CHECKING:
    from hfspec.runtime.predictor import Predictor

GOOD, WRONG_ANSWER, USAGE, WORLD, DAMAGED, LINES = 0, 1, 2, 3, 4, 6  # 5 is a lock's, which no predictor has


def main(folder: Path, argv: Sequence[str], *, trusted: bool = True, program: str = "predictor.py") -> int:
    """Answer ``argv`` with the artifact in ``folder``, as JSON on standard output and nothing else there: one line, or
    one for each piece of a streamed answer or each row of --jsonl, as it comes.

    Returns the exit code: 0 good, 1 an answer that the signature does not allow, 2 bad input, params or usage, 3 the
    world failed, 4 the artifact is damaged, 6 lines of --jsonl have an error object instead of an answer. An error is
    one line on standard error. ``trusted``: whether the artifact's code may run without --trust-remote-code, as for the
    artifact's own predictor.py, which is such code itself.
    """
    parser = _parser(program)
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has printed its error or its help
        return int(stop.code or GOOD)
    try:
        out = _opened(sys.stdout, "output")
        with contextlib.redirect_stdout(sys.stderr):
            arguments.trust_remote_code |= trusted
            for line in _lines(folder, arguments):
                if not _write(out, line):
                    break
    except HfspecError as error:
        return _fail(str(error), _exit_code(error), debug=arguments.debug)
    except KeyboardInterrupt:
        return _fail("interrupted.", 130)
    except ModuleNotFoundError as error:
        needed = Path(folder) / "requirements.txt"
        message = f"the package {error.name} is not installed here: python -m pip install -r {needed}"
        return _fail(message, WORLD, debug=arguments.debug)
    except Exception as error:  # noqa: BLE001 - the one place where a fault of ours becomes a line, not a traceback
        return _fail(f"unexpected {type(error).__name__}: {error}", WORLD, debug=arguments.debug)
    return GOOD


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Run the model of this artifact; the answer is JSON on standard output.",
        epilog="A text that begins with a dash goes after --. Exit codes: 0 good, 1 an answer against the signature,"
        " 2 bad input, params or usage, 3 the world failed, 4 the artifact is damaged, 6 some lines of --jsonl got an"
        " error object instead of an answer.",
    )
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error, for a report of a bug")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="a text to answer; several make several rows")
    parser.add_argument(
        "--as-text", action="store_true", help="answer each TEXT itself, even - and one that is the name of a file"
    )
    parser.add_argument("--json", metavar="FILE", help="read the input from a JSON file, - for standard input")
    parser.add_argument("--jsonl", metavar="FILE", help="read a row from each line of JSON, - for standard input")
    parser.add_argument("--window", metavar="ROWS", type=int, help="read at most so many lines ahead (--jsonl)")
    parser.add_argument("--params", metavar="JSON", help='params of the call, such as {"top_k": 2}')
    parser.add_argument("--outputs", choices=("standard", "full"), help="the form of the answer")
    parser.add_argument("--model-config", metavar="JSON", help="settings that override the artifact's model_config")
    parser.add_argument("--expect-fingerprint", metavar="HEX", help="the space that the embeddings must be of")
    parser.add_argument("--as-golden", action="store_true", help="print input and answer as a golden example of a spec")
    parser.add_argument(
        "--check",
        choices=("example", "golden", "probe"),
        help="answer the artifact's input example, or that and its golden examples, or one plain input of its task;"
        " a list of what fails as JSON",
    )
    parser.add_argument(
        "--say-backend",
        action="store_true",
        help="with --check: first a line of JSON, which backend answers here and which one elsewhere",
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="ROLE=FOLDER",
        help="where the weights are that the artifact refers to, as model=FOLDER",
    )
    parser.add_argument(
        "--patches", choices=CHOICES, default=ALL, help="none: the libraries' own way wherever hfspec has another"
    )
    parser.add_argument("--no-verify", action="store_true", help="do not check the files against the manifest first")
    parser.add_argument(
        "--trust-remote-code", action="store_true", help="run the reviewed Python files that came with the checkpoint"
    )
    return parser


def _lines(folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    _check_sources(arguments)
    _check_alone(arguments)
    data = None if arguments.jsonl or arguments.check else _data(arguments)
    params = _mapping(arguments.params, "--params")
    model_config = _mapping(arguments.model_config, "--model-config")
    if not arguments.as_text:
        _check_no_files(folder, arguments.texts)
    from hfspec.runtime.load import load

    predictor = load(
        folder,
        model_config=model_config,
        outputs=arguments.outputs,
        verify=not arguments.no_verify,
        expect_fingerprint=arguments.expect_fingerprint,
        sources=given_sources(arguments.source),
        trust_remote_code=arguments.trust_remote_code,
        patches=arguments.patches,
    )
    if arguments.check:
        yield from _checks(predictor, folder, arguments)
    elif arguments.as_golden:
        from hfspec.runtime.golden.golden_text import golden_text

        yield golden_text(predictor, data, params)
    elif arguments.jsonl:
        yield from _streamed(predictor, arguments, params)
    else:
        answer = predictor.predict_json(data, params)
        for part in answer if isinstance(answer, Iterator) else [answer]:
            yield _line(part)


def _checks(predictor: Predictor, folder: Path, arguments: argparse.Namespace) -> Iterator[str]:
    """A line of the failures, with --say-backend one of the backend before it; raises VerificationError after it."""
    if arguments.say_backend:
        yield _line({"backend": predictor.backend, "note": predictor.trial_note()})
    if arguments.check == "probe":
        from hfspec.runtime.golden.probing import probe_lines

        yield from probe_lines(predictor)
    else:
        from hfspec.runtime.golden.examples import check_lines

        yield from check_lines(predictor, folder, golden=arguments.check == "golden")


def _streamed(predictor: Predictor, arguments: argparse.Namespace, params: Mapping[str, Any] | None) -> Iterator[str]:
    from hfspec.runtime.io.answers import to_json

    window = {} if arguments.window is None else {"window": arguments.window}
    with contextlib.ExitStack() as stack:
        source = arguments.jsonl
        opened = _opened(sys.stdin, "input") if source == "-" else stack.enter_context(_file(source))
        lines = JsonLines(opened, f"--jsonl {source}")
        for answer in lines.answers(predictor.predict_iter(lines.rows(), params, errors="return", **window)):
            yield _line(to_json(answer))


def _line(answer: Any) -> str:
    return json.dumps(answer, ensure_ascii=False, allow_nan=False)


def _file(source: str) -> IO[bytes]:
    try:
        return Path(source).open("rb")
    except OSError as error:
        raise UsageError(f"--jsonl {source}: {error.strerror}.") from error


def _check_sources(arguments: argparse.Namespace) -> None:
    inputs = [name for name in ("texts", "json", "jsonl") if getattr(arguments, name)]
    if len(inputs) > 1:
        raise UsageError("give texts, --json or --jsonl, not more than one of them.")
    if arguments.say_backend and not arguments.check:
        raise UsageError("--say-backend is of use with --check only.")
    if arguments.window is not None and not arguments.jsonl:
        raise UsageError("--window is of use with --jsonl only.")
    if arguments.as_text and not arguments.texts:
        raise UsageError("--as-text is of use with texts only.")


def _check_no_files(folder: Path, texts: Sequence[str]) -> None:
    """Raises UsageError for a text that is the name of a file, or - for standard input, where the task reads texts: the
    model would answer the name itself.
    """
    meant = next((text for text in texts if text == "-" or _is_file(text)), None)
    if meant is None or _takes_files(folder):
        return
    if meant == "-":
        raise UsageError(
            "- is a text here, not standard input: give --json - for one JSON document or --jsonl - for a row in each"
            " line, or --as-text - where the dash itself is to be answered."
        )
    raise UsageError(
        f"{meant} is a file that exists, and its name would be answered, not what it holds: give --json FILE for one"
        " JSON document or --jsonl FILE for a row of JSON in each line, or --as-text where the name itself is to be"
        " answered."
    )


def _is_file(text: str) -> bool:
    """Whether a text is the name of a file or a pipe, or the path of a folder, since plain words may name one too."""
    try:
        path = Path(text)
        return path.exists() and (not path.is_dir() or os.sep in text)
    except (OSError, ValueError):  # too long for a name, or with a NUL
        return False


def _takes_files(folder: Path) -> bool:
    """Whether a row of the artifact's task may be the path of a file, as a sound's or an image's is."""
    from hfspec.integrity.verification import read_manifest
    from hfspec.tasks import table

    deployment = read_manifest(folder).deployment
    task = table.find(deployment.library, deployment.task)
    return task is not None and task.inputs[0].type == "binary"


def _check_alone(arguments: argparse.Namespace) -> None:
    """Raises UsageError for options that an example's answer must not depend on, or that have no effect on it."""
    option = "--check" if arguments.check else "--as-golden" if arguments.as_golden else ""
    names = ("outputs", "model_config", "jsonl", *(("texts", "json", "params", "as_golden") if arguments.check else ()))
    refused = [name for name in names if getattr(arguments, name)]
    if option and refused:
        flags = ", ".join("TEXT" if name == "texts" else f"--{name.replace('_', '-')}" for name in refused)
        raise UsageError(f"{option} takes the artifact as it is: leave out {flags}.")


def given_sources(texts: Sequence[str]) -> dict[str, str]:
    """``role=folder`` texts as a mapping; raises UsageError for any other text, and for a role that comes twice."""
    folders: dict[str, str] = {}
    for text in texts:
        role, _, folder = text.partition("=")
        if not role or not folder or role in folders:
            raise UsageError(f"--source {text}: expected a role and its folder, each role once, as model=FOLDER.")
        folders[role] = folder
    return folders


def _data(arguments: argparse.Namespace) -> Any:
    if arguments.json:
        return _parsed(_read(arguments.json), f"--json {arguments.json}")
    if not arguments.texts:
        raise UsageError("nothing to answer: give a text, --json FILE or --jsonl FILE. See --help.")
    return arguments.texts[0] if len(arguments.texts) == 1 else list(arguments.texts)


def _read(source: str) -> bytes:
    if source == "-":
        return _opened(sys.stdin, "input").read()
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise UsageError(f"--json {source}: {error.strerror}.") from error


def _mapping(text: str | None, option: str) -> Mapping[str, Any] | None:
    if text is None:
        return None
    value = _parsed(text.encode("utf-8", "surrogateescape"), option)
    if not isinstance(value, dict):
        raise UsageError(f'{option}: expected a JSON object such as {{"name": value}}, found {type(value).__name__}.')
    return value


def _parsed(data: bytes, option: str) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{option}: this is not JSON: {error}.") from error


def _exit_code(error: HfspecError) -> int:
    if isinstance(error, VerificationError):
        return DAMAGED
    if isinstance(error, UnansweredLinesError):
        return LINES
    if isinstance(error, WorldError | OutOfMemoryError):
        return WORLD
    return WRONG_ANSWER if isinstance(error, OutputError) else USAGE


def _fail(message: str, code: int, *, debug: bool = False) -> int:
    if debug:
        sys.stderr.write(redacted(traceback.format_exc()))
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for letter in " ".join(redacted(message).split())
    )
    sys.stderr.write(f"error: {line}\n")
    return code


def _opened(stream: TextIO | None, name: str) -> IO[bytes]:
    """The bytes behind a standard stream, which is None where the caller has closed it."""
    if stream is None:
        raise UsageError(f"standard {name} is closed.")
    return cast("IO[bytes]", stream.buffer)


def _write(out: IO[bytes], line: str) -> bool:
    """UTF-8 whatever the locale; False, which is no failure, when the reader has gone away. Raises StorageError."""
    try:
        out.write(line.encode("utf-8") + b"\n")
        out.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's last flush is silent
        if isinstance(error, BrokenPipeError):
            return False
        raise StorageError(f"the answer cannot be written to standard output: {error.strerror}.") from error
    return True
