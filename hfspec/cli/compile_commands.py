"""plan and compile."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import Format, FormatOption, Link, LinkOption, Locked, Overrides, QuietOption, SpecFile
from hfspec.cli.multirun import targets
from hfspec.cli.progress import for_terminal, tell
from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict
from hfspec.redaction import redacted

if TYPE_CHECKING:
    from hfspec.cli.sweeping import Made

MOST_KEYS = 12


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Show what compile would build.")(plan)
    app.command(short_help="Compile a spec into an artifact.")(compile)


def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    locked: Locked = False,
    format: FormatOption = Format.text,  # noqa: A002
) -> None:
    """Show what compile would build; reads headers and small files, never weights, and writes nothing."""
    from hfspec import compiler
    from hfspec.report.plan import render

    print(render(compiler.plan(spec, overrides or (), locked=locked), format.value))


def compile(  # noqa: A001 - the command's name
    spec: SpecFile,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The artifact; by default build/<name>.")
    ] = None,
    multirun: Annotated[
        bool,
        typer.Option(
            "--multirun",
            "-m",
            help="Hydra's multirun: an artifact for each combination, in DIR/<values> or build/<name>--<values>; "
            "hydra/launcher=joblib compiles them in parallel.",
        ),
    ] = False,
    cfg: Annotated[
        str | None, typer.Option("--cfg", metavar="job", help="Print the composed spec as Hydra does, and stop.")
    ] = None,
    resolve: Annotated[bool, typer.Option("--resolve", help="With --cfg: fill in interpolations.")] = False,
    info: Annotated[
        str | None, typer.Option("--info", metavar="defaults", help="Print the defaults list as Hydra does, and stop.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Run the emitted predictor on its examples before it is kept.")
    ] = True,
    check_golden: Annotated[
        bool,
        typer.Option("--check-golden/--no-check-golden", help="Hold its answers to the spec's golden examples."),
    ] = True,
    locked: Locked = False,
    link: LinkOption = Link.copy,
    quiet: QuietOption = False,
) -> None:
    """Compile a spec into an artifact; the last line printed is the artifact's path."""
    if cfg is not None or info is not None or resolve:
        print(_explain(spec, overrides or [], cfg, info, resolve=resolve, multirun=multirun))
        return
    from hfspec import compiler
    from hfspec.cli import sweeping

    launcher, own = sweeping.split_launcher(overrides or []) if multirun else ([], overrides or [])
    warnings = compiler.warnings(spec, own)
    for warning in warnings:
        tell(f"warning: {warning}")
    options = FrozenDict({"run": run, "check_golden": check_golden, "locked": locked, "link": link.value})
    tell_outcome = partial(_show, warnings=warnings, quiet=quiet)
    if not multirun:
        artifact = compiler.compile(
            spec, output=output, overrides=own, progress=for_terminal(quiet=quiet), **dict(options)
        )
        tell_outcome(sweeping.made(artifact, options))
        return
    sweep = sweeping.Sweep(spec, targets(spec, own, output), options)
    outcomes = list(sweeping.compile_all(sweep, launcher, partial(for_terminal, quiet=quiet), tell_outcome))
    failed = [outcome for outcome in outcomes if outcome.fault]
    if failed or not quiet:
        sweeping.tell_table(outcomes)
    if failed:
        raise typer.Exit(failed[0].code)


def _show(outcome: Made, warnings: Sequence[str], *, quiet: bool) -> None:
    """Show the outcome of a compile: its artifact's path on stdout, everything else on stderr."""
    if outcome.fault:
        tell(redacted(outcome.fault))
        return
    for note in () if quiet else outcome.notes:
        if note not in warnings:
            tell(f"note: {note}")
    if outcome.replaced:
        keys, others = outcome.replaced[:MOST_KEYS], len(outcome.replaced) - MOST_KEYS
        more = f" and {others} more" if others > 0 else ""
        tell(f"hfspec: replaced an artifact of another spec, which differs in {', '.join(keys)}{more}")
    if outcome.unchecked:
        tell("hfspec: the golden examples were not checked")
    print(outcome.place, flush=True)


def _explain(
    spec: Path, overrides: list[str], cfg: str | None, info: str | None, *, resolve: bool, multirun: bool
) -> str:
    from hfspec.language import composition

    if resolve and cfg is None:
        raise UsageError("--resolve goes with --cfg job")
    if multirun:
        raise UsageError("--cfg and --info show one combination; leave out -m, and give one value for each key")
    if cfg not in (None, "job"):
        raise UsageError(f"--cfg {cfg}: expected job; a spec has no configuration of Hydra's own")
    if info not in (None, "defaults"):
        raise UsageError(f"--info {info}: expected defaults")
    parts = []
    if cfg:
        parts.append(composition.config_text(spec, overrides, resolve=resolve))
    if info:
        parts.append(composition.defaults_text(spec, overrides))
    return "\n".join(part.rstrip("\n") for part in parts)
