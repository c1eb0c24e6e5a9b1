"""A Ray cluster of several nodes on this machine: ``python -m tests.ray_nodes NODES CORES``.

It is to be run where loopback is the only network. The first line says where it is; then each line that it reads is
done and answered by a line: ``kill`` ends the newest node with all that runs on it, ``leave`` has it end itself as
``ray stop`` does, ``add`` starts one. It ends when its input does.
"""

from __future__ import annotations

import subprocess
import sys
from itertools import count
from typing import Any

from ray._private import services
from ray.cluster_utils import Cluster

NODE = {"object_store_memory": 80 << 20, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
# A node waits some seconds for files with its agents' ports, unless it is told them, and dies where the machine is too
# busy for that. One of the agents is for the dashboard, which is off; what stands for it ends with the node.
PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port")
AGENT = subprocess.list2cmdline(["sh", "-c", "while kill -0 $PPID; do sleep 1; done"])
_FREE = count(20_000)


def node(cores: int) -> dict[str, Any]:
    return {**NODE, "num_cpus": cores, **{name: next(_FREE) for name in PORTS}}


def start(command: list[str], process_type: str, *arguments: Any, **options: Any) -> Any:
    """What Ray starts its processes with."""
    if process_type == "raylet":
        others = [each for each in command if not each.startswith("--dashboard_agent_command=")]
        command = [*others, f"--dashboard_agent_command={AGENT}", f"--dashboard_agent_listen_port={next(_FREE)}"]
    return _start(command, process_type, *arguments, **options)


_start, services.start_ray_process = services.start_ray_process, start


def main(nodes: int, cores: int) -> None:
    cluster = Cluster(initialize_head=True, head_node_args=node(cores))
    others = [cluster.add_node(**node(cores)) for _ in range(nodes - 1)]
    print(cluster.address, flush=True)
    for line in sys.stdin:
        if line.strip() == "add":
            others.append(cluster.add_node(**node(cores)))
        else:
            cluster.remove_node(others.pop(), allow_graceful=line.strip() == "leave")
        print("done", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
