"""`hfspec serve` with a model that does nothing: python -m … PORT [replica]. ARTIFACT is what it says of itself.

The answer is made in the HTTP process; with ``replica``, in a process of its own at the end of a socket, as models are.
"""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import Any

from hfspec.serving import server
from hfspec.serving.fleet.loading import fleet_of
from hfspec.serving.front import replica
from hfspec.serving.front.model import Model

USED = {"rows": 1, "tokens": 20, "queue": 0.0, "tokenise": 0.0, "model": 0.0, "write": 0.0}


async def answer(self: Model, asking: Any) -> tuple[Any, dict[str, Any]]:
    self.admission.take(asking.load)
    self.admission.give_back(asking.load)
    self.admission.measured(asking.load, 20)
    return [1], USED


def replicate(descriptor: int) -> None:
    """Be the replica: answer each frame at once."""
    from hfspec.serving.replica import wire

    frames = wire.Frames()
    with socket.socket(fileno=descriptor) as connection:
        while data := connection.recv(1 << 20):
            for kind, *fields in frames.feed(data):
                if kind == wire.CONFIG:
                    connection.sendall(wire.frame(wire.READY, {}))
                elif kind == wire.ASK:
                    connection.sendall(wire.frame(wire.ANSWER, fields[0], [1], USED))


def main(port: int, *, is_apart: bool) -> int:
    """Serve the artifact of ARTIFACT without loading it."""
    replica.MODULE = "benchmarks.serving.programs.nothing"
    if not is_apart:
        Model.answer = answer  # type: ignore[method-assign]
    return server.run(fleet_of([Path(os.environ["ARTIFACT"])], [f"server.port={port}"]))


if __name__ == "__main__":
    if len(sys.argv) == 2 and int(sys.argv[1]) < 1024:  # a descriptor, as the server gives it to a replica
        replicate(int(sys.argv[1]))
    else:
        sys.exit(main(int(sys.argv[1]), is_apart="replica" in sys.argv))
