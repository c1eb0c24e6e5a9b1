"""serve: artifacts behind HTTP."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import quoted, split_overrides
from hfspec.errors import UsageError

# The packages of the extra `serve` that the server cannot do without.
PACKAGES = ("starlette", "uvicorn", "uvloop", "httptools", "prometheus_client", "msgpack", "orjson")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Serve artifacts over HTTP.")(serve)


def serve(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET... [KEY=VALUE]...",
            help="Artifacts, each served under its name, or one fleet file; then overrides of the fleet's keys, such "
            "as models.minilm.replicas=2 server.port=9000.",
        ),
    ],
    host: Annotated[str | None, typer.Option(help="Listen at this address; by default 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen at this port, 0 for a free one; by default 8000.")] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option("--grpc-port", help="Answer gRPC at this port too, 0 for a free one; by default it is off."),
    ] = None,
    api_keys: Annotated[
        Path | None, typer.Option("--api-keys", metavar="FILE", help="Ask for the API keys in this file.")
    ] = None,
) -> None:
    """Serve artifacts over HTTP until SIGTERM or SIGINT; SIGHUP reads the fleet file and the artifacts again.

    What a fleet file may say is in docs/fleet.md; its JSON Schema is written by `hfspec schema`.
    """
    from hfspec.serving.fleet.loading import FleetSource

    places, overrides = split_overrides(targets)
    if not places:
        raise UsageError("nothing to serve is named; give artifacts or a fleet file before the overrides")
    asked = {
        "server.host": host,
        "server.port": port,
        "server.grpc_port": grpc_port,
        "server.api_keys.file": api_keys,
    }
    overrides += [f"{key}={quoted(value)}" for key, value in asked.items() if value is not None]
    source = FleetSource(tuple(map(Path, places)), tuple(overrides))
    fleet = source.load()
    if any(find_spec(package) is None for package in PACKAGES):
        raise UsageError("serving needs more packages: pip install 'hfspec[serve]'")
    from hfspec.serving.server import run

    raise typer.Exit(run(fleet, source.load))
