"""A fleet as one application of Ray Serve, which answers HTTP itself; a RayService deploys it.

Ray Serve calls ``application`` with the arguments of its configuration. The ingress has the protocols, keys and limits
of the server, and asks the models' deployments beside it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.schema import ApplicationStatus

from hfspec.errors import UsageError
from hfspec.serving.cluster.generation import Replicas, bound_model
from hfspec.serving.fleet.loading import load_fleet
from hfspec.serving.fleet.values import Fleet, FleetModel
from hfspec.serving.front.app import App
from hfspec.serving.front.generation import Log, Totals
from hfspec.serving.front.logs import Log as Lines
from hfspec.serving.front.metrics import Meters
from hfspec.serving.front.models import Models
from hfspec.serving.protocols.table import ENDPOINTS

# Ray Serve's status of a deployment -> the status of an application, which Replicas reads.
STATES = {
    "HEALTHY": ApplicationStatus.RUNNING,
    "UNHEALTHY": ApplicationStatus.UNHEALTHY,
    "DEPLOY_FAILED": ApplicationStatus.DEPLOY_FAILED,
}


def deployment_name(model: str) -> str:
    """The name of a model's deployment."""
    return f"model.{model}"


def application(args: Mapping[str, str]) -> Any:
    """Ray Serve's builder of the application.

    Args:
        args: ``fleet``: the fleet file, which lies at this path on every node.

    Returns:
        The ingress, bound to a deployment of each model.

    Raises:
        UsageError: No fleet file is named.
        SpecError: With every problem of the fleet file.
    """
    if set(args) != {"fleet"}:
        raise UsageError(f"the application takes one argument, fleet, not {', '.join(args) or 'none'}")
    fleet = load_fleet(Path(args["fleet"]))
    models = {
        entry.name: bound_model(entry, entry.threads or 1, fleet.server.grace, deployment_name(entry.name))
        for entry in fleet.models
    }
    ingress = serve.deployment(
        serve.ingress()(Ingress),
        name="ingress",
        ray_actor_options={"num_cpus": 1},
        max_ongoing_requests=fleet.server.limits.connections,
        graceful_shutdown_timeout_s=fleet.server.grace,
    )
    return ingress.bind(args["fleet"], models)


@dataclass(frozen=True, slots=True)
class Beside:
    """The deployment of a model in the ingress's own application, which Ray Serve starts and ends."""

    name: str
    handle: Any

    def deploy(self, entry: FleetModel) -> Any:
        """A handle for requests."""
        assert deployment_name(entry.name) == self.name
        return self.handle

    def status(self) -> tuple[ApplicationStatus, str]:
        """Its status, and Ray Serve's message on it."""
        app_status = serve.status().applications.get(serve.get_replica_context().app_name)
        mine = None if app_status is None else app_status.deployments.get(self.name)
        if mine is None:
            return ApplicationStatus.NOT_STARTED, ""
        return STATES.get(mine.status.value, ApplicationStatus.DEPLOYING), mine.message

    def delete(self) -> None:
        """Do nothing: Ray Serve ends it with the application."""


@dataclass(frozen=True, slots=True)
class Handles:
    """The engine of the ingress. ``found``: the name of a model -> the handle of its deployment."""

    found: Mapping[str, Any]

    def threads(self, fleet: Fleet) -> Callable[[FleetModel], int]:
        """The threads of a deployment."""
        return lambda entry: entry.threads or 1

    def generation(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> Replicas:
        """The replicas of an entry."""
        return Replicas(entry, Beside(deployment_name(entry.name), self.found[entry.name]), log, totals)


class Ingress:
    """The HTTP side of the fleet. ``handles``: the name of a model -> the handle of its deployment."""

    def __init__(self, fleet: str, handles: Mapping[str, Any]) -> None:
        self._fleet = load_fleet(Path(fleet))
        self._log = Lines(self._fleet.server.logs)
        self._models = Models(self._fleet, self._log, engine=Handles(handles))
        self._starting = asyncio.create_task(self._models.start())

    def __serve_build_asgi_app__(self) -> App:
        """The application that answers, once Ray Serve has made this object."""
        return App(self._models, self._fleet.server, ENDPOINTS, self._log, Meters(self._models))
