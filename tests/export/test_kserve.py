"""Manifests for KServe, held against what Kubernetes and KServe publish, and against what the server understands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import hfspec
from hfspec.export.exporting import export
from hfspec.export.facts import facts_of, label_of
from hfspec.export.kserve import Options, files
from hfspec.serving.fleet.loading import FleetSource
from tests.compiling import write_spec
from tests.export.manifests import Published

IMAGE, URI = "registry.example.org/models/sentiment:1", "s3://models/sentiment"


def manifests(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    runtime, service = folder / "servingruntime.yaml", folder / "inferenceservice.yaml"
    return yaml.safe_load(runtime.read_text()), yaml.safe_load(service.read_text())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"namespace": "models", "min_replicas": 0, "max_replicas": 9, "queue_rows": 100},
        {"gpu": True, "allow_anonymous": True},
        {"min_replicas": 2, "max_replicas": 2, "image": f"registry.example.org:5000/a/b@sha256:{'c' * 64}"},
    ],
    ids=str,
)
def test_the_manifests_are_what_kubernetes_and_kserve_take(options, compiled, published, tmp_path) -> None:
    artifact = compiled("bert-sentiment").path
    export("kserve", artifact, tmp_path / "out", Options(**{"image": IMAGE, "storage_uri": URI, **options}))
    runtime, service = manifests(tmp_path / "out")
    assert published.problems(runtime) == []
    assert published.problems(service) == []
    assert service["spec"]["predictor"]["model"]["runtime"] == runtime["metadata"]["name"]
    resources = runtime["spec"]["containers"][0]["resources"]
    assert ("nvidia.com/gpu" in resources["limits"]) == options.get("gpu", False)
    assert ("autoScaling" in service["spec"]["predictor"]) == (options.get("min_replicas") != 2)


def test_the_schemas_refuse_what_they_should(compiled, published: Published, tmp_path) -> None:
    export("kserve", compiled("bert-sentiment").path, tmp_path / "out", Options(IMAGE, URI))
    runtime, service = manifests(tmp_path / "out")
    runtime["spec"]["containers"][0]["startupProb"] = {}
    service["spec"]["predictor"]["minReplicas"] = "1"
    service["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]["metric"]["queri"] = ""
    assert len(published.problems(runtime)) == 1
    assert len(published.problems(service)) == 2


@pytest.mark.parametrize("name", ["bert-sentiment", "Film_Reviews.v2", "2nd-model"])
def test_the_server_understands_its_arguments_and_answers_to_the_name_of_the_service(
    name, checkpoint, tmp_path, monkeypatch
) -> None:
    spec = write_spec(tmp_path, checkpoint("bert-sentiment"), name=name)
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False).path
    export("kserve", artifact, tmp_path / "out", Options(IMAGE, URI))
    runtime, service = manifests(tmp_path / "out")
    container = runtime["spec"]["containers"][0]
    command, place, *overrides = container["args"]
    assert (command, place) == ("serve", "/mnt/models")
    monkeypatch.setenv("HFSPEC_API_KEYS", '{"keys": [{"name": "tests", "key": "0123456789abcdef"}]}')
    fleet = FleetSource((artifact,), tuple(overrides)).load()
    assert service["metadata"]["name"] in fleet.models[0].names
    assert label_of(name) == service["metadata"]["name"]
    assert (fleet.server.host, fleet.server.port) == ("0.0.0.0", container["ports"][0]["containerPort"])
    assert {probe["httpGet"]["port"] for key, probe in container.items() if key.endswith("Probe")} == {8080}
    query = service["spec"]["predictor"]["autoScaling"]["metrics"][0]["external"]["metric"]["query"]
    assert f'model="{name}"' in query


def test_memory_follows_the_weights_and_a_gpu_the_size_of_a_generator(compiled, monkeypatch) -> None:
    facts = facts_of(compiled("llama-chat").path)
    small = facts.memory
    assert "nvidia.com/gpu" not in files(facts, Options(IMAGE, URI))["servingruntime.yaml"]
    monkeypatch.setattr(type(facts), "weight_bytes", property(lambda _: 16 << 30))
    assert 0 <= facts.memory[0] - (16 << 30) - small[0] + (256 << 20) <= 256 << 20
    assert "nvidia.com/gpu" not in files(facts, Options(IMAGE, URI))["servingruntime.yaml"]  # float32 is no GPU's
    object.__setattr__(facts.manifest.deployment, "dtype", "bfloat16")
    try:
        written = files(facts, Options(IMAGE, URI))["servingruntime.yaml"]
        assert "nvidia.com/gpu" in written
        assert "device: cuda" in written
        assert "nvidia.com/gpu" not in files(facts, Options(IMAGE, URI, gpu=False))["servingruntime.yaml"]
    finally:
        object.__setattr__(facts.manifest.deployment, "dtype", "float32")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"storage_uri": "build/minilm"}, "--storage-uri"),
        ({"image": "two words"}, "--image"),
        ({"namespace": "My_Models"}, "--namespace"),
        ({"min_replicas": 5}, "--min-replicas 5"),
        ({"min_replicas": 0, "max_replicas": 0}, "--max-replicas 0"),
        ({"queue_rows": 0}, "--queue-rows"),
        ({"prometheus": "prometheus:9090"}, "--prometheus"),
    ],
    ids=str,
)
def test_options_that_cannot_be_are_refused(options, said, compiled, tmp_path) -> None:
    chosen = Options(**{"image": IMAGE, "storage_uri": URI, **options})
    with pytest.raises(hfspec.UsageError, match=said):
        export("kserve", compiled("bert-sentiment").path, tmp_path / "out", chosen)
    assert not (tmp_path / "out").exists()


def test_a_gpu_is_refused_for_a_model_of_the_cpu(checkpoint, tmp_path) -> None:
    spec = write_spec(tmp_path, checkpoint("bert-sentiment"), runtime={"backend": "onednn"})
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False).path
    with pytest.raises(hfspec.UsageError, match="the backend onednn runs on the CPU"):
        export("kserve", artifact, tmp_path / "out", Options(IMAGE, URI, gpu=True))
