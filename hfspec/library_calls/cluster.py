"""How a Ray cluster is reached: soon told where there is none, and without Ray's own lines."""

from __future__ import annotations

import logging
import re
import socket

import ray

from hfspec.errors import UsageError

ADDRESS = re.compile(r"(?:ray://)?(?P<host>[^:/]+):(?P<port>\d+)")
ANSWERS = 5.0  # seconds in which a cluster's port answers
QUIET = ("ray", "ray.serve", "ray.data")


def connect(address: str) -> None:
    """Connect this process to a running cluster.

    Args:
        address: Where the cluster is, as Ray has it; ``auto`` for that of this machine.

    Raises:
        UsageError: There is no such cluster.
    """
    try:
        _reach(address)
        ray.init(address=address, namespace="hfspec", logging_level=logging.WARNING, log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:
        remedy = "start one with `ray start --head`, or name another with --address"
        raise UsageError(f"there is no Ray cluster at {address}: {first_line(error)}; {remedy}") from error
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def first_line(error: object) -> str:
    """The first line of what Ray says."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def _reach(address: str) -> None:
    """Raises OSError where nothing answers at a host and a port: Ray itself tries for minutes."""
    found = ADDRESS.fullmatch(address)
    if found is not None:
        socket.create_connection((found["host"], int(found["port"])), ANSWERS).close()
