"""A fleet as a RayService: manifests that Kubernetes, KubeRay and Ray Serve take, and an application that answers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import hfspec
from hfspec.export.exporting import export_fleet
from hfspec.export.rayserve import Options
from hfspec.ir.artifact import Artifact
from hfspec.serving.fleet.loading import load_fleet
from tests import own_network
from tests.export.manifests import Published, ray_service
from tests.ray_cluster import Cluster

IMAGE = "registry.example.org/fleet:1"
KEYS = json.dumps({"keys": [{"name": "tests", "key": "0123456789abcdef"}]})
ASK = """
import json, sys, time, urllib.error, urllib.request
import ray
from ray import serve
from hfspec.serving.cluster.ingress import application

def asked(path, body=None, key="0123456789abcdef"):
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request("http://127.0.0.1:8000" + path, body and json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [answer.status, json.loads(answer.read())]
    except urllib.error.HTTPError as error:
        return [error.code, None]

ray.init(address=sys.argv[1], namespace="serve", log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": 8000})
serve.run(application({"fleet": sys.argv[2]}), name="hfspec", route_prefix="/")
ends = time.monotonic() + 60
while asked("/ready")[0] != 200 and time.monotonic() < ends:
    time.sleep(0.2)
print(json.dumps([
    asked("/models/sentiment/predict", {"inputs": ["a fine film", "a dull one"]}),
    asked("/v1/embeddings", {"model": "emb", "input": "a fine film"}),
    asked("/models/sentiment/predict", {"inputs": ["x"]}, key="another"),
    asked("/models/nobody/predict", {"inputs": ["x"]}),
]))
"""


@pytest.fixture
def fleet(tmp_path: Path, compiled: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """``fleet(server, **entries)``: a fleet file of two models."""
    monkeypatch.setenv("HFSPEC_API_KEYS", KEYS)

    def write(server: dict[str, Any] | None = None, **entries: dict[str, Any]) -> Path:
        models = {
            "sentiment": {"artifact": str(compiled("bert-sentiment").path), **entries.get("sentiment", {})},
            "minilm": {"artifact": str(compiled("minilm-like").path), **entries.get("minilm", {})},
        }
        file = tmp_path / "films.yaml"
        access = {"api_keys": {"environment": "HFSPEC_API_KEYS"}}
        file.write_text(json.dumps({"models": models, "server": access if server is None else server}))
        return file

    return write


def written(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    return tuple(yaml.safe_load((folder / name).read_text()) for name in ("rayservice.yaml", "configmap.yaml"))  # type: ignore[return-value]


def test_the_manifests_are_what_kubernetes_and_kuberay_take(fleet, published: Published, tmp_path) -> None:
    scaling = {"min_replicas": 1, "max_replicas": 3}
    file = fleet(sentiment={"autoscaling": scaling, "limits": {"memory": "4GiB"}}, minilm={"gpus": 0.5, "threads": 2})
    export_fleet(file, tmp_path / "out", Options(IMAGE, namespace="models"))
    service, config = written(tmp_path / "out")
    jsonschema.Draft202012Validator(ray_service(published)).validate(service)
    assert published.problems(config) == []
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    assert [(group["minReplicas"], group["maxReplicas"]) for group in groups] == [(1, 3), (1, 1)]
    limits = [group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in groups]
    assert limits[0]["memory"] == "5120Mi"
    assert (limits[1]["nvidia.com/gpu"], limits[1]["cpu"]) == ("1", "2")
    service["spec"]["rayClusterConfig"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]["imag"] = ""
    assert not jsonschema.Draft202012Validator(ray_service(published)).is_valid(service)


def test_the_cluster_gets_the_same_fleet_and_no_key(fleet, compiled, tmp_path) -> None:
    file = fleet(sentiment={"limits": {"rows": 7}, "model_config": {"top_k": 2}}, minilm={"aliases": ["emb"]})
    models = tmp_path / "models"
    models.mkdir()
    for name, artifact in (("sentiment", "bert-sentiment"), ("minilm", "minilm-like")):
        (models / name).symlink_to(compiled(artifact).path)
    export_fleet(file, tmp_path / "out", Options(IMAGE, models=str(models)))
    service, config = written(tmp_path / "out")
    text = config["data"]["fleet.yaml"]
    assert "0123456789abcdef" not in json.dumps([service, config])
    (tmp_path / "again.yaml").write_text(text)
    again, first = load_fleet(tmp_path / "again.yaml"), load_fleet(file)
    for one, other in zip(again.models, first.models, strict=True):
        assert one.model_copy(update={"artifact": ""}) == other.model_copy(update={"artifact": ""})
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    offered = [json.loads(json.loads(group["rayStartParams"]["resources"])) for group in groups]
    wanted = [one["ray_actor_options"]["resources"] for one in config["applications"][0]["deployments"]]
    assert offered == wanted
    schema = pytest.importorskip("ray.serve.schema", reason="Ray is not installed here")
    assert schema.ServeDeploySchema.model_validate(config).applications[0].args == {"fleet": "/etc/hfspec/fleet.yaml"}


def test_the_application_answers_by_ray_serves_own_proxy(fleet, compiled) -> None:
    own_network.needs("ray.serve")
    file = fleet(minilm={"aliases": ["emb"]})
    with Cluster(nodes=1, cores=6) as cluster:
        environment = {**own_network.environment(), "HFSPEC_API_KEYS": KEYS}
        said = subprocess.run(
            cluster.python("-c", ASK, cluster.address, str(file)),
            capture_output=True, text=True, env=environment, timeout=400, check=False,
        )  # fmt: skip
    assert said.returncode == 0, said.stderr[-2000:]
    answered, embedded, refused, unknown = json.loads(said.stdout.splitlines()[-1])
    expected = hfspec.load(compiled("bert-sentiment").path).predict_json(["a fine film", "a dull one"])
    assert [row["label"] for row in answered[1]["predictions"]] == [row["label"] for row in expected]
    vector = hfspec.load(compiled("minilm-like").path).predict(["a fine film"])[0]
    assert embedded[1]["data"][0]["embedding"] == pytest.approx(list(vector), abs=1e-5)
    assert (refused[0], unknown[0]) == (401, 404)


@pytest.mark.parametrize(
    ("server", "options", "said"),
    [
        ({}, {}, "server.api_keys: whoever reaches"),
        ({"allow_anonymous": True, "unix_socket": "/tmp/s", "grpc_port": 1}, {}, "server.unix_socket"),
        (None, {"image": "two words"}, "--image"),
        (None, {"models": "models"}, "--models"),
        (None, {"ray_version": "latest"}, "--ray-version"),
        (None, {"namespace": "A_B"}, "--namespace"),
    ],
    ids=str,
)
def test_what_ray_serve_cannot_express_is_refused(server, options, said, fleet, tmp_path) -> None:
    with pytest.raises(hfspec.UsageError, match=said):
        export_fleet(fleet(server), tmp_path / "out", Options(**{"image": IMAGE, **options}))
    assert not (tmp_path / "out").exists()


def test_an_artifact_is_a_fleet_of_one_unless_it_is_open_to_all(compiled, tmp_path) -> None:
    with pytest.raises(hfspec.UsageError, match=r"server\.api_keys"):
        export_fleet(compiled("bert-sentiment").path, tmp_path / "out", Options(IMAGE))
