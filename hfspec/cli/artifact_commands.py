"""inspect, verify, predict: what can be done with an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import Folder, Format, FormatOption, Link, LinkOption, SignatureFile, Sources
from hfspec.errors import UsageError

if TYPE_CHECKING:
    from hfspec.ir.artifact import Manifest


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(short_help="Show what an artifact says of itself.")(inspect)
    app.command(short_help="Check every byte of an artifact.")(verify)
    app.command(short_help="Bring the weights into an artifact that refers to them.")(persist)
    app.command(
        short_help="Run an artifact on texts or JSON.",
        # The arguments after DIR are the predictor's own, its --help included.
        context_settings={"allow_interspersed_args": False},
    )(predict)


def inspect(
    folder: Folder,
    format: FormatOption = Format.text,  # noqa: A002
) -> None:
    """Show what an artifact says of itself; reads the manifest, and its config.json for the labels."""
    from hfspec.comparison.artifacts import artifact_labels
    from hfspec.integrity.verification import read_manifest
    from hfspec.report.artifact import render

    manifest = read_manifest(folder)
    labels = artifact_labels(folder, manifest) if format is Format.text else ()
    print(render(manifest, format.value, labels))


def verify(
    folder: Folder,
    run: Annotated[
        bool, typer.Option("--run", help="Answer its examples, or a plain input, as well (exit code 4).")
    ] = False,
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="PUBLIC", help="Refuse what was not signed with this key's private half."),
    ] = None,
    signature: SignatureFile = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Let --run run the reviewed code that the artifact brings.")
    ] = False,
    source: Sources = None,
) -> None:
    """Check every byte of an artifact against its manifest, and with --key who vouches for it."""
    from hfspec.compiler import verify as verify_artifact
    from hfspec.runtime.command import given_sources

    if signature is not None and key is None:
        raise UsageError("--signature goes with --key, the public key that it is checked with")
    folders = given_sources(source or ())
    manifest = verify_artifact(
        folder, run=run, trust_remote_code=trust_remote_code, key=key, signature=signature, sources=folders
    )
    signed = f", signed with the key of {key}" if key else ""
    print(f"{folder}: {len(manifest.files)} files verified, digest {manifest.digest}{signed}")
    if manifest.pointers or folders:
        print(f"{folder}: {_weights(manifest, folders)}")
    if run:
        from hfspec.runtime.golden.examples import ran

        print(f"{folder}: {ran(folder)}")


def _weights(manifest: Manifest, folders: Mapping[str, str]) -> str:
    from hfspec.compiler import weights_here

    total = sum(len(pointer.files) for pointer in manifest.pointers)
    count = weights_here(manifest, folders)
    others = "" if count == total else "; load fetches the others, or asks for their folder"
    return f"{count} of {total} weight files that it refers to are here, verified{others}"


def persist(
    folder: Folder,
    source: Sources = None,
    link: LinkOption = Link.copy,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")] = False,
) -> None:
    """Turn an artifact that refers to its weights into one that holds them, in its place, whole or not at all."""
    from hfspec import compiler
    from hfspec.cli.progress import for_terminal
    from hfspec.runtime.command import given_sources

    folders = given_sources(source or ())
    artifact = compiler.persist(folder, sources=folders, link=link.value, progress=for_terminal(quiet=quiet))
    print(artifact.path, flush=True)


def predict(
    folder: Folder,
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Texts to answer, or --json FILE|-, or --jsonl FILE|- for a row a line; --as-text for a text that is"
            " the name of a file; --params JSON, --outputs full, --trust-remote-code, and what --help lists.",
        ),
    ] = None,
) -> None:
    """Run an artifact; the answer is JSON. `hfspec predict DIR --help` shows every option."""
    from hfspec.runtime.command import main

    raise typer.Exit(main(folder, arguments or [], trusted=False, program="hfspec predict DIR"))
