"""inspect, verify, predict: what can be done with an artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import Folder, Format, SignatureFile
from hfspec.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Show what an artifact says of itself.")(inspect)
    app.command(short_help="Check every byte of an artifact.")(verify)
    app.command(
        short_help="Run an artifact on texts or JSON.",
        # What follows DIR is the predictor's own, its --help included.
        context_settings={"allow_interspersed_args": False},
    )(predict)


def inspect(
    folder: Folder,
    format: Annotated[Format, typer.Option(help="text for a person, json for a program.")] = Format.text,  # noqa: A002
) -> None:
    """Show what an artifact says of itself; reads the manifest only."""
    from hfspec.report.artifact import render
    from hfspec.runtime.integrity import read_manifest

    print(render(read_manifest(folder), format.value))


def verify(
    folder: Folder,
    run: Annotated[
        bool, typer.Option("--run", help="Answer its golden examples, or its input example, as well (exit code 4).")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC", help="Refuse what was not signed with this key's private half."),
    ] = None,
    signature: SignatureFile = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let --run run the reviewed code that the artifact brings.")
    ] = False,
) -> None:
    """Check every byte of an artifact against its manifest, and with --key who vouches for it."""
    from hfspec.compiler import verify as verify_artifact

    if signature is not None and key is None:
        raise UsageError("--signature goes with --key, the public key that it is checked with")
    manifest = verify_artifact(folder, run=run, trust_remote_code=trust_remote_code, key=key, signature=signature)
    signed = f", signed with the key of {key}" if key else ""
    print(f"{folder}: {len(manifest.files)} files verified, digest {manifest.digest}{signed}")
    if run:
        from hfspec.runtime.examples import ran

        print(f"{folder}: {ran(folder)}")


def predict(
    folder: Folder,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts to answer, or --json FILE|-, or --jsonl FILE|- for a row a line; --params JSON, --outputs full,"
            " --trust-remote-code, and what --help lists.",
        ),
    ] = None,
) -> None:
    """Run an artifact; the answer is JSON. `hfspec predict DIR --help` shows every option."""
    from hfspec.runtime.command import main

    raise typer.Exit(main(folder, arguments or [], trusted=False))
