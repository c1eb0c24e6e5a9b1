"""mlflow log and mlflow pull: artifacts into MLflow's store and registry, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import Folder
from hfspec.errors import UsageError

if TYPE_CHECKING:
    from hfspec.interop.mlflow.account import Account
    from hfspec.interop.mlflow.log import Logged
    from hfspec.ir.artifact import Manifest
    from hfspec.ir.plan import Plan

TrackingUri = Annotated[
    str | None,
    typer.Option(
        "--tracking-uri", metavar="URI", help="The tracking server; by default what MLFLOW_TRACKING_URI says."
    ),
]
mlflow_app = typer.Typer(help="Log artifacts to MLflow, and bring them back.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    mlflow_app.command(short_help="Log an artifact, its bytes untouched.")(log)
    mlflow_app.command(short_help="Bring an artifact back, verified.")(pull)
    app.add_typer(mlflow_app, name="mlflow")


def log(
    folder: Folder,
    tracking_uri: TrackingUri = None,
    experiment: Annotated[str | None, typer.Option(help="The experiment, made when it is not there.")] = None,
    run_name: Annotated[str | None, typer.Option("--run-name", help="By default the artifact's name.")] = None,
    register: Annotated[
        str | None, typer.Option("--register", metavar="NAME", help="Make a version of this registered model.")
    ] = None,
    alias: Annotated[
        str | None, typer.Option("--alias", metavar="ALIAS", help="Let this alias stand for the version.")
    ] = None,
    spec: Annotated[
        Path | None,
        typer.Option("--spec", metavar="SPEC", help="The spec it was compiled from: logs its lock and plan too."),
    ] = None,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Load the model: its load time, and its examples, which must hold.")
    ] = True,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let reviewed code that the artifact brings run.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be logged; ask no server.")] = False,
) -> None:
    """Log an artifact to MLflow as a logged model, and register it; the last line printed is its URI.

    Nothing is registered before every file is there.
    """
    from hfspec.integrity.verification import examine
    from hfspec.interop.mlflow.account import account_of
    from hfspec.interop.mlflow.log import Names, check_names
    from hfspec.interop.mlflow.log import log as log_artifact

    names = Names(tracking_uri, experiment, run_name, register, alias)
    check_names(names)
    verified = examine(folder)
    plan = _plan(spec, verified.manifest) if spec else None
    files = {"report.txt": _report(folder, verified.manifest), **(_spec_files(spec, plan) if spec and plan else {})}
    rows = plan.settings if plan else ()
    account = account_of(verified, files, rows, run=run, trust_remote_code=trust_remote_code)
    if dry_run:
        print(_would(verified.manifest, account, names.register, names.alias))
        return
    logged = log_artifact(verified, account, names)
    for line in (*logged.lines(), *_addresses(logged), logged.model_uri):
        print(line)


def pull(
    uri: Annotated[str, typer.Argument(metavar="URI", help="models:/NAME@alias, models:/NAME/3, runs:/RUN/PATH.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to make.", show_default=False)
    ],
    tracking_uri: TrackingUri = None,
) -> None:
    """Bring an artifact back from MLflow, and check every byte of it."""
    from hfspec.interop.mlflow.pull import pull as pull_artifact

    artifact = pull_artifact(uri, output, tracking_uri)
    print(f"{artifact.path}: {len(artifact.manifest.files)} files verified, digest {artifact.digest}")


def _plan(spec: Path, manifest: Manifest) -> Plan:
    """The spec's plan, which must be that of the artifact."""
    from hfspec import compiler
    from hfspec.locking.lock_file import lock_path

    plan = compiler.plan(spec, locked=lock_path(spec).exists())
    if plan.spec_digest != manifest.spec_digest:
        raise UsageError(
            f"{spec} does not give this artifact, {manifest.name}: it was changed since, or has overrides or revisions"
            " that moved; compile it again, or leave out --spec"
        )
    return plan


def _report(folder: Path, manifest: Manifest) -> str:
    from hfspec.comparison.artifacts import artifact_labels
    from hfspec.report.artifact import render

    return render(manifest, "text", artifact_labels(folder, manifest)) + "\n"


def _spec_files(spec: Path, plan: Plan) -> dict[str, str]:
    from hfspec.locking.lock_file import lock_path
    from hfspec.report.plan import render

    lock = lock_path(spec)
    locked = {"spec.yaml.lock": lock.read_text(encoding="utf-8")} if lock.exists() else {}
    return {"plan.txt": render(plan, "text") + "\n", **locked}


def _would(manifest: Manifest, account: Account, name: str | None, alias: str | None) -> str:
    from hfspec.report.sizes import in_bytes
    from hfspec.report.table import aligned, section

    size = in_bytes(sum(file.size for file in manifest.files))
    register = [("registered", f"{name}{f' as {alias}' if alias else ''}")] if name else []
    head = [("model", f"{manifest.name}, {len(manifest.files) + 1} files, {size}"), *register]
    parts = (
        ("params", account.params.items()),
        ("metrics", ((key, f"{value:g}") for key, value in account.metrics.items())),
        ("tags", account.tags.items()),
        ("files of the run", ((path, in_bytes(len(content))) for path, content in account.files.items())),
    )
    return "\n".join(
        [f"would be logged\n{aligned(head)}\n", *(section(title, aligned(map(_plain, rows))) for title, rows in parts)]
    ).rstrip()


def _plain(row: tuple[str, str]) -> tuple[str, str]:
    return row[0], row[1] if row[1].isprintable() else json.dumps(row[1], ensure_ascii=False)


def _addresses(logged: Logged) -> list[str]:
    """Where a browser shows it."""
    from hfspec.redaction import redacted

    if not logged.uri.startswith("http"):
        return []
    return [redacted(f"{logged.uri.rstrip('/')}/#/experiments/{logged.experiment_id}/models/{logged.model_id}")]
