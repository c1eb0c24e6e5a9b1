"""The connection to a Ray cluster: it fails soon where there is none, and prints none of Ray's lines."""

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
        address: The cluster's address for Ray; ``auto`` for that of this machine.

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
    """The first line of Ray's message."""
    return str(error).strip().partition("\n")[0].rstrip(".")


def _reach(address: str) -> None:
    """Raises OSError where nothing answers at a host and a port; Ray itself would try for minutes."""
    match = ADDRESS.fullmatch(address)
    if match is not None:
        socket.create_connection((match["host"], int(match["port"])), ANSWERS).close()
