"""serve: artifacts behind HTTP."""

from __future__ import annotations

import re
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from hfspec.cli.arguments import split_overrides
from hfspec.errors import UsageError


class Engine(StrEnum):
    """What runs the replicas."""

    local = "local"
    ray = "ray"


# Engine -> what runs it, the extra that it needs, and the packages of that extra that it cannot do without.
ENGINES = {
    Engine.local: (
        "hfspec.serving.server:run",
        "serve",
        ("starlette", "uvicorn", "uvloop", "httptools", "prometheus_client", "msgpack"),
    ),
    Engine.ray: ("hfspec.serving.cluster.ray:run", "ray", ("ray", "starlette")),
}


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
    api_keys: Annotated[
        Path | None, typer.Option("--api-keys", metavar="FILE", help="Ask for the API keys in this file.")
    ] = None,
    engine: Annotated[
        Engine, typer.Option(help="local: processes of this machine; ray: a running Ray cluster.")
    ] = Engine.local,
) -> None:
    """Serve artifacts over HTTP until SIGTERM or SIGINT; SIGHUP reads the fleet file and the artifacts again.

    What a fleet file may say is in docs/fleet.md; its JSON Schema is written by `hfspec schema`.
    """
    from hfspec.serving.fleet.loading import FleetSource

    places, overrides = split_overrides(targets)
    if not places:
        raise UsageError("nothing to serve is named; give artifacts or a fleet file before the overrides")
    asked = {"server.host": host, "server.port": port, "server.api_keys.file": api_keys}
    overrides += [f"{key}={_quoted(value)}" for key, value in asked.items() if value is not None]
    source = FleetSource(tuple(map(Path, places)), tuple(overrides))
    fleet = source.load()
    place, extra, packages = ENGINES[engine]
    if any(find_spec(package) is None for package in packages):
        raise UsageError(f"serving with --engine {engine.value} needs more packages: pip install 'hfspec[{extra}]'")
    module, function = place.split(":")
    raise typer.Exit(getattr(import_module(module), function)(fleet, source.load))


def _quoted(value: object) -> str:
    """The value as Hydra's overrides take any text."""
    if isinstance(value, int):
        return str(value)
    # Hydra takes a backslash for itself, but where a quote follows.
    text = re.sub(r"(\\+)(?='|$)", r"\1\1", str(value)).replace("'", "\\'")
    return f"'{text}'"
