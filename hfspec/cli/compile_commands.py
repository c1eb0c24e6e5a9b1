"""plan and compile."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import Format, Overrides, SpecFile
from hfspec.cli.progress import for_terminal
from hfspec.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(plan)
    app.command()(compile)


def plan(
    spec: SpecFile,
    overrides: Overrides = None,
    format: Annotated[Format, typer.Option(help="text for a person, json for a program.")] = Format.text,  # noqa: A002
) -> None:
    """Show what compile would build; reads headers and small files, never weights, and writes nothing."""
    from hfspec import compiler
    from hfspec.report.plan import render

    print(render(compiler.plan(spec, overrides or ()), format.value))


def compile(  # noqa: A001 - the command's name
    spec: SpecFile,
    overrides: Overrides = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="The artifact; by default build/<name>.")
    ] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="Hydra's multirun: one artifact for each combination of values.")
    ] = False,
    cfg: Annotated[
        str | None, typer.Option("--cfg", metavar="job", help="Print the composed spec as Hydra does, and stop.")
    ] = None,
    resolve: Annotated[bool, typer.Option("--resolve", help="With --cfg: fill in interpolations.")] = False,
    info: Annotated[
        str | None, typer.Option("--info", metavar="defaults", help="Print the defaults list as Hydra does, and stop.")
    ] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Run the emitted predictor on input_example before it is kept.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Compile a spec into an artifact; the last line printed is the artifact's path."""
    if cfg is not None or info is not None:
        print(_explain(spec, overrides or [], cfg, info, resolve=resolve))
        return
    from hfspec import compiler

    for target, combination in _targets(spec, overrides or [], output, multirun=multirun):
        artifact = compiler.compile(
            spec, output=target, overrides=combination, run=run, progress=for_terminal(quiet=quiet)
        )
        print(artifact.path)


def _explain(spec: Path, overrides: list[str], cfg: str | None, info: str | None, *, resolve: bool) -> str:
    from hfspec.language import composition

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


def _targets(
    spec: Path, overrides: list[str], output: Path | None, *, multirun: bool
) -> list[tuple[Path | None, list[str]]]:
    """Where each combination goes: a folder named for its overrides, below the place that one artifact would have."""
    if not multirun:
        return [(output, overrides)]
    from hfspec import compiler
    from hfspec.language import composition

    combinations = composition.sweep(spec, overrides)
    shared = set(combinations[0]).intersection(*combinations) if len(combinations) > 1 else set(combinations[0])
    targets: list[tuple[Path | None, list[str]]] = []
    for combination in combinations:
        place = output or compiler.default_target(spec, combination)
        own = [override for override in combination if override not in shared] or combination
        targets.append((place / _folder_name(own), combination))
    return targets


def _folder_name(overrides: list[str]) -> str:
    """``dtype=bfloat16,model_config.top_k=3``, with what a file name cannot hold as ``_``."""
    text = ",".join(overrides) or "default"
    return "".join(character if character.isalnum() or character in "=,._+-" else "_" for character in text)[:200]
