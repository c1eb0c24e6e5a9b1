"""serve: artifacts behind HTTP."""

from __future__ import annotations

from contextlib import closing
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.arguments import quoted, split_overrides
from hfspec.cli.completion import complete_overrides
from hfspec.errors import UsageError

if TYPE_CHECKING:
    from hfspec.serving.fleet.loading import FleetSource
    from hfspec.serving.fleet.values import Fleet

# The packages of the extra `serve` that the server cannot do without.
PACKAGES = ("starlette", "uvicorn", "uvloop", "httptools", "prometheus_client", "msgpack", "orjson")


class EngineName(StrEnum):
    """Where replicas run."""

    LOCAL = "local"
    RAY = "ray"


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
            autocompletion=complete_overrides,
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
    engine: Annotated[
        EngineName, typer.Option(help="Where replicas run: processes of this machine, or a running Ray cluster.")
    ] = EngineName.LOCAL,
    address: Annotated[
        str | None, typer.Option(help="With --engine ray: the cluster's address; by default that of this machine.")
    ] = None,
) -> None:
    """Serve artifacts over HTTP until SIGTERM or SIGINT; SIGHUP reads the fleet file and the artifacts again.

    What a fleet file may say is in docs/fleet.md; its JSON Schema is written by `hfspec schema`.
    """
    from hfspec.serving.fleet.loading import FleetSource
    from hfspec.serving.fleet.rules import local_problems

    places, overrides = split_overrides(targets)
    if not places:
        raise UsageError("nothing to serve is named; give artifacts or a fleet file before the overrides")
    options = {
        "server.host": host,
        "server.port": port,
        "server.grpc_port": grpc_port,
        "server.api_keys.file": api_keys,
    }
    overrides += [f"{key}={quoted(value)}" for key, value in options.items() if value is not None]
    is_local = engine is EngineName.LOCAL
    if is_local and address is not None:
        raise UsageError("--address is that of a Ray cluster; give --engine ray as well")
    source = FleetSource(tuple(map(Path, places)), tuple(overrides), local_problems if is_local else None)
    fleet = source.load()
    if any(find_spec(package) is None for package in PACKAGES):
        raise UsageError("serving needs more packages: pip install 'hfspec[serve]'")
    raise typer.Exit(_run(source, fleet) if is_local else _run_on_ray(source, fleet, address or "auto"))


def _run(source: FleetSource, fleet: Fleet) -> int:
    from hfspec.serving.server import run

    return run(fleet, source.load)


def _run_on_ray(source: FleetSource, fleet: Fleet, address: str) -> int:
    try:
        from hfspec.serving.cluster.engine import Cluster
    except ModuleNotFoundError as error:
        raise UsageError(f"--engine ray needs more packages ({error.name}): pip install 'hfspec[ray]'") from error
    from hfspec.serving.server import run

    with closing(Cluster(address, fleet.server)) as cluster:
        return run(fleet, source.load, cluster)
