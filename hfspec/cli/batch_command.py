"""batch: rows of files through an artifact, into files."""

from __future__ import annotations

import csv
import json
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hfspec.cli.arguments import quoted, split_overrides
from hfspec.cli.batch_progress import Progress, shown
from hfspec.cli.completion import complete_overrides
from hfspec.cli.exit_codes import STOPPED
from hfspec.cli.progress import tell
from hfspec.errors import UsageError
from hfspec.ir.artifact import SPEC_SUFFIXES

if TYPE_CHECKING:
    from hfspec.batch.job import Job
    from hfspec.batch.run import Outcome

PACKAGES = ("pyarrow", "fsspec")


class OutputFormat(StrEnum):
    """How the output is written."""

    parquet = "parquet"
    jsonl = "jsonl"
    csv = "csv"
    arrow = "arrow"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Answer the rows of files, into files.")(batch)


def batch(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="ARTIFACT INPUT... | BATCH.yaml [KEY=VALUE]...",
            help="An artifact and its inputs: files, folders and globs, also s3:// and the like; or a batch file and "
            "overrides of its keys.",
            autocompletion=complete_overrides,
        ),
    ],
    output: Annotated[str | None, typer.Option("--output", "-o", metavar="DIR", help="The folder of the output.")] = (
        None
    ),
    format: Annotated[OutputFormat | None, typer.Option(help="Of the output; by default parquet.")] = None,  # noqa: A002
    input_format: Annotated[
        str | None, typer.Option("--input-format", help="Of all inputs; by default their names' endings say it.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="INPUT=COLUMN,...", help="Which column an input of the artifact is read from."),
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="The columns that come out as they came in: all, none, or a,b; by default all.")
    ] = None,
    params: Annotated[str | None, typer.Option(metavar="JSON", help="Params of predict.")] = None,
    model_config: Annotated[
        str | None, typer.Option("--model-config", metavar="JSON", help="Settings over those of the spec.")
    ] = None,
    outputs: Annotated[str | None, typer.Option(help="standard or full; by default as the spec says.")] = None,
    where: Annotated[
        str | None, typer.Option(metavar="CONDITION", help="Only rows that fit, such as \"lang == 'en' and n > 3\".")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many rows, from the first on.")] = None,
    sample: Annotated[
        str | None, typer.Option(metavar="SHARE", help="Only a share of the rows, such as 1%, always the same.")
    ] = None,
    max_errors: Annotated[
        str | None,
        typer.Option("--max-errors", metavar="N|P%", help="Stop with the exit code 7 when more rows fail."),
    ] = None,
    part_rows: Annotated[int | None, typer.Option(min=1, help="Rows of one output file at most; 100,000.")] = None,
    part_bytes: Annotated[
        int | None, typer.Option(min=1, help="Bytes of input for one output file, where rows are not known; 16 MiB.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="As torch names it.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Cast the weights to this while loading.")] = None,
    backend: Annotated[str | None, typer.Option(help="What does the model's arithmetic.")] = None,
    engine: Annotated[
        str | None,
        typer.Option(
            help="Where it is done: local, this process; ray, a running Ray cluster; spark, Spark's executors."
        ),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            "--master",
            help="With --engine ray or spark: the cluster's address, or Spark's master; by default this machine's.",
        ),
    ] = None,
    replicas: Annotated[
        int | None, typer.Option(min=1, help="Workers of a cluster; by default as many as it has room for.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each worker.")] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Take away what another job wrote there, and begin anew.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what would be read and written, and how long it would take; no more.")
    ] = False,
    deadline: Annotated[
        float | None, typer.Option(min=0.001, metavar="HOURS", help="With --plan: how many machines this takes.")
    ] = None,
    progress: Annotated[Progress, typer.Option(help="How far it is, on stderr; auto: a bar on a terminal.")] = (
        Progress.auto
    ),
) -> None:
    """Answer the rows of files, into files; the same command goes on where a run was stopped or killed.

    A row that cannot be answered has nulls for its answer, and says why in the column `error`.
    """
    if any(find_spec(package) is None for package in PACKAGES):
        raise UsageError("a batch needs more packages: pip install 'hfspec[batch]'")
    plain = {
        "output.path": output,
        "output.format": None if format is None else format.value,
        "output.part_rows": part_rows,
        "output.part_bytes": part_bytes,
        "input.format": input_format,
        "input.where": where,
        "input.limit": limit,
        "input.sample": sample,
        "outputs": outputs,
        "max_errors": max_errors,
        "device": device,
        "dtype": dtype,
        "backend": backend,
        "engine": engine,
        "address": address,
        "replicas": replicas,
        "threads": threads,
    }
    mappings = {
        "input.map": None if columns is None else _named(columns),
        "output.keep": None if keep in {None, "all"} else _kept(str(keep)),
        "params": None if params is None else _mapping(params, "--params"),
        "model_config": None if model_config is None else _mapping(model_config, "--model-config"),
    }
    options = {key: value for key, value in {**plain, **mappings}.items() if value is not None}
    job = _of_file(targets, options, set(mappings)) if _is_file(targets[0]) else _of_options(targets, options)
    if plan or deadline is not None:
        _plan(job, deadline)
        return
    from hfspec.batch.run import run

    with _stopping() as stop:
        outcome = run(job, overwrite=overwrite, stop=stop, tell=shown(progress))
    _report(outcome, job.output)


def _is_file(target: str) -> bool:
    return Path(target).suffix in SPEC_SUFFIXES and not Path(target).is_dir()


def _of_file(targets: Sequence[str], options: Mapping[str, Any], mappings: Collection[str]) -> Job:
    from hfspec.batch.document.loading import load_batch

    places, overrides = split_overrides(targets[1:])
    if places:
        raise UsageError(f"{targets[0]} is a batch file, which names its inputs; what is {places[0]}?")
    if keys := [key for key in options if key in mappings]:
        raise UsageError(f"with a batch file, write `{keys[0]}.NAME=VALUE`, an override, in place of the option")
    overrides += [f"{key}={quoted(value)}" for key, value in options.items()]
    return load_batch(Path(targets[0]), overrides)


def _of_options(targets: Sequence[str], options: Mapping[str, Any]) -> Job:
    from hfspec.batch.document.values import parse
    from hfspec.batch.engines.table import row_of
    from hfspec.batch.finding import check_format
    from hfspec.batch.job import max_errors, share

    if len(targets) < 2:
        raise UsageError("give an artifact and at least one input, or a batch file")
    if "output.path" not in options:
        raise UsageError("say where the output goes, with -o FOLDER")
    checks: tuple[tuple[str, Callable[[str], object]], ...]
    checks = (
        ("input.sample", share),
        ("input.format", check_format),
        ("max_errors", max_errors),
        ("engine", row_of),
    )
    for key, check in checks:
        if key in options:
            check(options[key])
    document: dict[str, Any] = {"artifact": targets[0], "input": {"paths": targets[1:]}, "output": {}}
    for key, value in options.items():
        parent, _, name = key.rpartition(".")
        (document[parent] if parent else document)[name] = value
    try:
        return parse(document).job()
    except ValueError as error:
        raise UsageError(_options(str(error))) from error


def _options(message: str) -> str:
    """The model's complaints about the options, in a line."""
    lines = [line.strip() for line in message.splitlines()[1:] if "errors.pydantic.dev" not in line]
    flags = {"input.format": "--input-format", "output.format": "--format"}
    return "; ".join(
        f"{flags.get(key, f'--{key}')}: {text.split(' [type=')[0]}"
        for key, text in zip(lines[::2], lines[1::2], strict=False)
    )


def _plan(job: Job, deadline: float | None) -> None:
    from hfspec.batch.planning import plan

    estimate = plan(job, None if deadline is None else deadline * 3600)
    about = "" if estimate.exact else "about "
    print(f"reads {estimate.files} files, {estimate.size} bytes, {about}{estimate.rows} rows")
    print(f"writes {estimate.parts} parts, about {estimate.output_size} bytes: {', '.join(estimate.columns)}")
    print(f"about {estimate.seconds:,.1f} s at {estimate.rows_per_second} rows/s, measured on a sample on this machine")
    if estimate.machines is not None:
        print(f"{estimate.machines} machines of this kind for {deadline} hours")


def _report(outcome: Outcome, output: str) -> None:
    if outcome.manifest is None:
        tell(f"hfspec: stopped; {outcome.parts} of {outcome.of} parts are whole. The same command goes on from there")
        raise typer.Exit(STOPPED)
    errors = outcome.manifest["errors"]
    by_kind = ", ".join(f"{count} {kind}" for kind, count in sorted(errors.items()))
    failed = f", {sum(errors.values())} of them with an error ({by_kind})" if errors else ""
    tell(f"{'was done already: ' if outcome.did_nothing else ''}{outcome.manifest['rows']} rows{failed}")
    print(output)


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that SIGTERM sets."""
    stop = threading.Event()

    def asked(*_: object) -> None:
        stop.set()
        tell("hfspec: SIGTERM; the part at hand is finished first")

    before = signal.signal(signal.SIGTERM, asked)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


def _named(texts: Sequence[str]) -> dict[str, str]:
    columns: dict[str, str] = {}
    for each in (one for text in texts for one in _cells(text)):
        name, _, column = each.partition("=")
        if not name or not column or name in columns:
            raise UsageError(f"--map {each}: expected an input and its column, each input once, as text=body")
        columns[name] = column
    return columns


def _kept(text: str) -> list[str]:
    return [] if text == "none" else list(dict.fromkeys(filter(None, _cells(text))))


def _cells(text: str) -> list[str]:
    """Names between commas; one with a comma stands in quotes."""
    return next(csv.reader([text], skipinitialspace=True), [])


def _mapping(text: str, option: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise UsageError(f"{option}: this is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise UsageError(f'{option}: expected a JSON object such as {{"name": value}}, found {type(value).__name__}')
    return value
