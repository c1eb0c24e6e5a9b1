"""report: one page about an artifact or a spec, for those who review it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.errors import StorageError, UsageError

if TYPE_CHECKING:
    from hfspec.ir.plan import SettingRow
    from hfspec.report.sections import Report

PAGE = Path("report.html")


class ReportFormat(StrEnum):
    """How a report is written."""

    html = "html"
    md = "md"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Write one page about an artifact or a spec, or on what differs between two.")(report)


def report(
    target: Annotated[Path, typer.Argument(metavar="ARTIFACT|SPEC", help="An artifact's folder, or a spec.")],
    other: Annotated[
        Path | None, typer.Argument(metavar="OTHER", help="Another of its kind: shows what changed from the first.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="By default report.html; Markdown goes to stdout."),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        ReportFormat, typer.Option(help="html for a page, md for a pull request's comment.")
    ] = ReportFormat.html,
) -> None:
    """Write one page that loads nothing from outside: sources, licences, signature, settings with their origins,
    templates, labels, sizes, golden examples.
    """
    from hfspec.comparison.diff import diff
    from hfspec.report.page import render
    from hfspec.report.sections import difference

    sides = [target] if other is None else [target, other]
    for side in sides:
        if not side.exists():
            raise UsageError(f"{side} does not exist; give an artifact's folder or a spec")
    changed = None if other is None else difference(diff(target, other), (str(target), str(other)))
    text = render(tuple(map(_report, sides)), changed, format.value)
    if output is None and format is ReportFormat.md:
        print(text, end="")
        return
    file = output or PAGE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{file} cannot be written: {error.strerror}.") from error
    print(file)


def _report(side: Path) -> Report:
    return _of_artifact(side) if side.is_dir() else _of_spec(side)


def _of_artifact(folder: Path) -> Report:
    from hfspec.comparison.artifacts import SmallFiles, artifact_labels, stated_settings
    from hfspec.integrity.verification import read_manifest
    from hfspec.ir.plan import SettingRow
    from hfspec.report.sections import artifact_report

    manifest = read_manifest(folder)
    files = SmallFiles(folder, {record.path: record for record in manifest.files})
    in_force = stated_settings(files, manifest)
    settings: list[SettingRow] = [SettingRow(name, row.value, row.origin) for name, row in in_force.items()]
    return artifact_report(manifest, artifact_labels(folder, manifest), settings, files.text)


def _of_spec(spec: Path) -> Report:
    from hfspec.cli.progress import for_terminal
    from hfspec.ir.plan import CopyFile, WriteBytes
    from hfspec.pipeline import plan_spec
    from hfspec.report.sections import plan_report

    job = plan_spec(spec, (), for_terminal(quiet=True))
    steps = {step.target: step for step in job.plan.steps}

    def read(path: str) -> str:
        step = steps.get(path)
        if isinstance(step, WriteBytes):
            return step.content.decode("utf-8", errors="replace")
        if isinstance(step, CopyFile):
            return job.sources.readers[step.role].small(step.path).read_text(encoding="utf-8", errors="replace")
        return ""

    return plan_report(job.plan, read)
