"""The engine that starts replicas on a Ray cluster: each generation of a model is an application of Ray Serve."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Callable
from itertools import count
from typing import Any

import ray
from ray import serve

from hfspec.errors import UsageError
from hfspec.serving.cluster.generation import Application, Replicas
from hfspec.serving.fleet.values import Fleet, FleetModel, ServerSettings
from hfspec.serving.front.generation import Log, Totals

ADDRESS = re.compile(r"(?:ray://)?(?P<host>[^:/]+):(?P<port>\d+)")
ANSWERS = 5.0  # seconds in which a cluster's port answers
QUIET = ("ray", "ray.serve", "ray.data")


class Cluster:
    """A connection to a running cluster. Applications that an earlier server at the same address left are deleted.

    Args:
        address: Where the cluster is, as Ray has it; ``auto`` for that of this machine.
        settings: Of the server, whose address tells its applications from those of others.

    Raises:
        UsageError: There is no such cluster.
    """

    def __init__(self, address: str, settings: ServerSettings) -> None:
        try:
            _reach(address)
            ray.init(address=address, namespace="hfspec", logging_level=logging.WARNING, log_to_driver=False)
        except (OSError, RuntimeError, ValueError) as error:
            remedy = "start one with `ray start --head`, or name another with --address"
            raise UsageError(f"there is no Ray cluster at {address}: {_first_line(error)}; {remedy}") from error
        for name in QUIET:
            logging.getLogger(name).setLevel(logging.WARNING)
        serve.start(proxy_location="Disabled")
        place = settings.unix_socket or f"{settings.host}-{settings.port or f'free-{id(self):x}'}"
        self._label = re.sub(r"[^A-Za-z0-9]+", "-", f"hfspec-{socket.gethostname()}-{place}").strip("-")
        self._grace, self._numbers = settings.grace, count(1)
        for left in serve.status().applications:
            if left.startswith(f"{self._label}."):
                serve.delete(left)

    def threads(self, fleet: Fleet) -> Callable[[FleetModel], int]:  # noqa: ARG002 - others go by it
        """One each, where the fleet does not say: Ray counts them as cores."""
        return lambda entry: entry.threads or 1

    def generation(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> Replicas:
        """The actors of an entry, not started; raises HfspecError for what is no artifact."""
        name = f"{self._label}.{entry.name}.{next(self._numbers)}"
        return Replicas(entry, Application(name, threads, self._grace), log, totals)

    def close(self) -> None:
        """Leave the cluster."""
        ray.shutdown()


def _reach(address: str) -> None:
    """Raises OSError where nothing answers at a host and a port: Ray itself tries for minutes."""
    found = ADDRESS.fullmatch(address)
    if found is not None:
        socket.create_connection((found["host"], int(found["port"])), ANSWERS).close()


def _first_line(error: Any) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")
