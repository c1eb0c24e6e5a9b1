"""A fleet on a real Ray cluster of two nodes: the same answers, a replica and a node that are killed, changes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

import hfspec
from hfspec.errors import SpecError, UsageError
from hfspec.serving.fleet.loading import FleetSource, load_fleet, problems
from hfspec.serving.fleet.rules import local_problems
from tests import own_network
from tests.ray_cluster import LONG, Cluster
from tests.serving.process import Served, eventually

PREDICT = "/models/sentiment/predict"


def replicas(cluster: Cluster) -> list[int]:
    """The process ids of the replicas' own processes, on all nodes."""
    return cluster.processes("hfspec.serving.replica")


class OnRay(Served):
    """A server in the cluster's network, asked through its Unix socket."""

    def __init__(self, cluster: Cluster, fleet: Path, socket: Path, wait: bool = True) -> None:
        self.client = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://server", timeout=LONG
        )
        super().__init__(
            fleet,
            "--engine",
            "ray",
            "--address",
            cluster.address,
            overrides=[f"server.unix_socket={socket}"],
            python=cluster.python(),
            environment=own_network.environment(),
            wait=wait,
        )

    def get(self, path: str, **options: Any) -> Any:
        return self.client.get(path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Any:
        return self.client.post(path, json=body, **options)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    own_network.needs("ray.serve")
    with Cluster(nodes=2, cores=4) as found:
        yield found


@pytest.fixture(scope="module")
def fleet(
    build: Callable[..., Path], checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """``fleet(**entry)``: the fleet file, with the classifier under these keys, and ``others`` of the models."""
    path = tmp_path_factory.mktemp("ray") / "fleet.yaml"
    sentiment = build(checkpoint("bert-sentiment"), "text-classification")
    assistant = build(checkpoint("llama-chat"), "llm/v1/chat")

    def write(others: Sequence[str] = (), **entry: Any) -> Path:
        models = {"sentiment": {"artifact": str(sentiment), "threads": 1, **entry}}
        models |= {name: {"artifact": str(assistant), "threads": 1} for name in others}
        path.write_text(json.dumps({"models": models}), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def served(cluster: Cluster, fleet: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnRay]:
    socket = tmp_path_factory.mktemp("socket") / "s"
    with OnRay(cluster, fleet(["assistant"], replicas=2), socket) as found:
        yield found


@pytest.fixture(scope="module")
def expected(build: Callable[..., Path], checkpoint: Callable[[str], Path]) -> Callable[[list[str]], list[str]]:
    predictor = hfspec.load(build(checkpoint("bert-sentiment"), "text-classification"))
    return lambda texts: [record["label"] for record in predictor.predict_json(texts)]


def labels(response: Any) -> list[str]:
    assert response.status_code == 200, response.text
    return [record["label"] for record in response.json()["predictions"]]


def test_answers_errors_and_streams_are_those_of_one_machine(served: OnRay, expected: Any) -> None:
    texts = [f"text {number}" for number in range(30)]
    assert labels(served.post(PREDICT, {"inputs": texts})) == expected(texts)
    refused = served.post(PREDICT, {"inputs": ["good", None]})
    assert (refused.status_code, refused.json()["error"]["kind"], refused.json()["error"]["row"]) == (
        400,
        "InputError",
        1,
    )
    assert served.post(PREDICT, {"inputs": ["a"], "params": {"no_such": 1}}).status_code == 400
    lines = served.client.post(
        PREDICT, content=b'{"text": "good"}\n{"text": null}\n', headers={"content-type": "application/jsonl"}
    ).text.splitlines()
    assert [next(iter(json.loads(line))) for line in lines][-1] == "error"
    chat = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 4, "temperature": 0}
    whole = served.post("/v1/chat/completions", chat).json()["choices"][0]["message"]["content"]
    events = served.post("/v1/chat/completions", {**chat, "stream": True}).text.split("\n\n")
    pieces = [json.loads(event[6:]) for event in events if event.startswith("data: {")]
    assert "".join(choice["delta"].get("content") or "" for piece in pieces for choice in piece["choices"]) == whole
    assert served.get("/ready").status_code == 200
    assert served.get("/models/sentiment").json()["state"] == "ready"
    assert eventually(lambda: served.meter("hfspec_replicas_ready") == 3)
    assert eventually(lambda: served.meter("hfspec_rows_total") >= 30)


def test_a_replica_and_a_node_that_are_killed_cost_nobody_an_answer(
    served: OnRay, cluster: Cluster, expected: Any
) -> None:
    texts = [f"text {number}" for number in range(20)]
    wanted, made, wrong, stop = expected(texts), [], [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            for text, label in zip(texts, wanted, strict=True):
                response = served.post(PREDICT, {"inputs": [text]})
                (made if response.status_code == 200 and labels(response) == [label] else wrong).append(response)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    for caller in callers:
        caller.start()
    try:
        os.kill(replicas(cluster)[0], signal.SIGKILL)
        assert eventually(lambda: len(replicas(cluster)) == 3, LONG)
        cluster.do("kill")
        assert eventually(lambda: len(replicas(cluster)) == 3, LONG)
        before = len(made)
        assert eventually(lambda: len(made) > before + 20, LONG)
    finally:
        stop.set()
        for caller in callers:
            caller.join(LONG)
    assert not wrong, [response.text for response in wrong]
    cluster.do("add")


def test_replicas_are_added_by_demand(served: OnRay, fleet: Callable[..., Path], expected: Any) -> None:
    fleet(autoscaling={"max_replicas": 2, "requests": 1, "up_seconds": 0})
    served.signal(signal.SIGHUP)
    assert served.said("reloaded", LONG)
    assert eventually(lambda: served.meter("hfspec_replicas_ready") == 1, LONG), "\n".join(served.lines)
    stop, wanted = threading.Event(), expected(["good"]) * 1000
    wrong: list[Any] = []

    def ask() -> None:
        while not stop.is_set():
            response = served.post(PREDICT, {"inputs": ["good"] * 1000})
            if response.status_code != 200 or labels(response) != wanted:
                wrong.append(response)

    callers = [threading.Thread(target=ask) for _ in range(3)]  # more would take the cores that the new replica needs
    for caller in callers:
        caller.start()
    try:
        assert eventually(lambda: served.meter("hfspec_replicas_ready") == 2, LONG), "\n".join(served.lines)
    finally:
        stop.set()
        for caller in callers:
            caller.join(LONG)
    assert not wrong, [response.text for response in wrong]


def test_another_artifact_is_switched_to_and_a_bad_one_leaves_the_old(
    served: OnRay,
    fleet: Callable[..., Path],
    build: Callable[..., Path],
    checkpoint: Callable[[str], Path],
    copy_of: Callable[..., Path],
    expected: Any,
) -> None:
    bad = copy_of(build(checkpoint("bert-sentiment"), "text-classification"), "bad")
    weights = next(bad.glob("model/*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    before = served.get("/models/sentiment").json()["digest"]
    fleet(artifact=str(bad), limits={"rows": 5})
    served.signal(signal.SIGHUP)
    assert served.said("the old one goes on", LONG)
    (line,) = [line for line in served.lines if "the old one goes on" in line]
    assert "Traceback" not in line  # Ray's own lines, as of a slow machine, may have one
    assert labels(served.post(PREDICT, {"inputs": ["good"]})) == expected(["good"])
    fleet(artifact=str(build(checkpoint("bert-toxic"), "text-classification")))
    served.signal(signal.SIGHUP)
    assert eventually(lambda: served.get("/models/sentiment").json()["digest"] != before, LONG)
    assert served.post(PREDICT, {"inputs": ["good"]}).status_code == 200


def test_it_ends_with_its_replicas(served: OnRay, cluster: Cluster) -> None:
    served.signal(signal.SIGTERM)
    assert served.process.wait(LONG) == 0, "\n".join(served.lines)
    assert eventually(lambda: not replicas(cluster))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"autoscaling": {"max_replicas": 2}}, "autoscaling is for a cluster"),
        ({"gpus": 1}, "gpus is for a cluster"),
        ({"replicas": 2, "autoscaling": {"max_replicas": 3}}, "a number of `replicas` and bounds for it"),
        ({"autoscaling": {"min_replicas": 3, "max_replicas": 2}}, "at least 3 replicas, and at most 2"),
        ({"autoscaling": {"min_replicas": 3}}, "max_replicas"),
        ({"autoscaling": {"max_replicas": 2, "requests": 0}}, "requests"),
        ({"gpus": 1.5}, "a part of one GPU, or whole ones"),
        ({"gpus": -1}, "gpus"),
        ({"gpus": 1, "device": "cpu"}, "is to have 1 GPUs, and to run on cpu"),
    ],
)
def test_what_a_fleet_cannot_mean_is_told_with_its_place(fleet: Any, entry: dict[str, Any], said: str) -> None:
    path = fleet(**entry)
    with pytest.raises(SpecError, match=said) as raised:
        FleetSource((path,), (), local_problems).load()
    assert f"{path}:1:" in str(raised.value)


def test_a_cluster_takes_what_one_machine_does_not(fleet: Any) -> None:
    path = fleet(autoscaling={"max_replicas": 8}, gpus=0.5)
    entry = load_fleet(path).model("sentiment")
    assert entry is not None
    assert entry.autoscaling is not None
    assert (entry.autoscaling.min_replicas, entry.autoscaling.max_replicas, entry.gpus) == (1, 8, 0.5)
    assert not problems(path), "validate does not know where the fleet will run"


def test_an_address_needs_the_engine(fleet: Any) -> None:
    from hfspec.cli.serve_command import EngineName, serve

    with pytest.raises(UsageError, match="give --engine ray as well"):
        serve([str(fleet())], engine=EngineName.LOCAL, address="auto")


def test_a_cluster_that_is_not_there_is_told(cluster: Cluster, fleet: Any, tmp_path: Path) -> None:
    command = cluster.python("-m", "hfspec", "serve", str(fleet()), "--engine", "ray", "--address", "127.0.0.1:1")
    done = subprocess.run(
        command, env=own_network.environment(), capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert "there is no Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
