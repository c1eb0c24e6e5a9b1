"""The engine that starts replicas on a Ray cluster: each generation of a model is an application of Ray Serve."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from itertools import count

import ray
from ray import serve

from hfspec.library_calls.cluster import connect
from hfspec.serving.cluster.generation import Application, Replicas
from hfspec.serving.fleet.values import Fleet, FleetModel, ServerSettings
from hfspec.serving.front.generation import Log, Totals


class Cluster:
    """A connection to a running cluster. Applications that an earlier server at the same address left are deleted.

    Args:
        address: The cluster's address, as Ray writes it; ``auto`` for the cluster of this machine.
        settings: The server's settings; its address tells its applications from those of other servers.

    Raises:
        UsageError: There is no such cluster.
    """

    def __init__(self, address: str, settings: ServerSettings) -> None:
        connect(address)
        serve.start(proxy_location="Disabled")
        place = settings.unix_socket or f"{settings.host}-{settings.port or f'free-{id(self):x}'}"
        self._label = re.sub(r"[^A-Za-z0-9]+", "-", f"hfspec-{socket.gethostname()}-{place}").strip("-")
        self._grace, self._numbers = settings.grace, count(1)
        for name in serve.status().applications:
            if name.startswith(f"{self._label}."):
                serve.delete(name)

    def threads(self, fleet: Fleet) -> Callable[[FleetModel], int]:
        """Threads of a replica, one where the fleet does not say: Ray counts them as cores."""
        return lambda entry: entry.threads or 1

    def generation(self, entry: FleetModel, threads: int, log: Log, totals: Totals) -> Replicas:
        """The actors of an entry, not started; raises HfspecError where the folder is no artifact."""
        name = f"{self._label}.{entry.name}.{next(self._numbers)}"
        return Replicas(entry, Application(name, threads, self._grace), log, totals)

    def close(self) -> None:
        """Leave the cluster."""
        ray.shutdown()
