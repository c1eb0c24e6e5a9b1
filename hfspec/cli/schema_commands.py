"""schema: the JSON Schemas of what hfspec reads and writes."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hfspec.errors import UsageError


class Kind(StrEnum):
    """The kind of document that a schema describes."""

    spec = "spec"
    fleet = "fleet"
    batch = "batch"
    lock = "lock"
    artifact = "artifact"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Write the JSON Schemas of specs, fleet and batch files, locks and artifacts.")(schema)


def schema(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PLACE", help="A folder for all, or one .json file; - for stdout."),
    ] = Path("schemas"),
    of: Annotated[Kind | None, typer.Option(help="Only this one; in a single file, spec unless said.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail when a file differs.")] = False,
) -> None:
    """Write the JSON Schemas of specs, fleet and batch files, locks and artifact.json, for editors and other tools."""
    if str(output) == "-":
        print(_text(of or Kind.spec), end="")
        return
    places = _places(output, of)
    if check:
        _compare(places)
        return
    for file, kind in places.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_text(kind), encoding="utf-8")
        print(file)


def _places(output: Path, of: Kind | None) -> dict[Path, Kind]:
    if output.suffix == ".json" and not output.is_dir():
        return {output: of or Kind.spec}
    return {output / f"{kind.value}.schema.json": kind for kind in ([of] if of else Kind)}


def _compare(places: dict[Path, Kind]) -> None:
    stale = [file for file, kind in places.items() if not _says(file, _text(kind))]
    if stale:
        names = ", ".join(map(str, stale))
        raise UsageError(f"{names}: not what this version generates; run `hfspec schema` and commit the result")
    for file in places:
        print(f"{file} is up to date")


def _says(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text(encoding="utf-8") == text


def _text(kind: Kind) -> str:
    from hfspec.artifact.schema import manifest_schema
    from hfspec.language import schema as language
    from hfspec.locking.schema import lock_schema
    from hfspec.serving.fleet import schema as fleet

    if kind is Kind.spec:
        return language.schema_text()
    if kind is Kind.fleet:
        return fleet.schema_text()
    if kind is Kind.batch:
        from hfspec.batch.document.schema import schema_text

        return schema_text()
    document: dict[str, Any] = lock_schema() if kind is Kind.lock else manifest_schema()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
