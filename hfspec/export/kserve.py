"""Manifests for KServe: a ServingRuntime that is `hfspec serve`, and an InferenceService of the artifact."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hfspec.artifact.yaml_text import to_yaml
from hfspec.errors import UsageError
from hfspec.export.docker import ENVIRONMENT, KEYS, check_code
from hfspec.export.facts import MIB, Facts
from hfspec.export.writing import Files
from hfspec.serving.fleet.values import ServerSettings

PORT = 8080  # KServe sends requests there
MODELS = "/mnt/models"  # KServe puts the content of storageUri there
FORMAT = "hfspec"
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
URI = re.compile(r"[a-z][a-z0-9+.-]*://[^\s]+")
IMAGE = re.compile(r"[^\s:@]+(:[0-9]+)?(/[^\s:@]+)*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
STARTS = 120  # probes, ten seconds apart, before a model that does not load is restarted


@dataclass(frozen=True, slots=True)
class Options:
    """``image``: one that `export docker` made. ``storage_uri``: where the artifact lies. ``queue_rows``: rows that may
    wait for each replica before there is another. ``gpu``: whether each has one; by default as the model needs.
    """

    image: str
    storage_uri: str
    namespace: str | None = None
    min_replicas: int = 1
    max_replicas: int = 4
    queue_rows: int = 16
    prometheus: str = PROMETHEUS
    gpu: bool | None = None
    allow_anonymous: bool = False
    trust_remote_code: bool = False


def files(facts: Facts, options: Options) -> Files:
    """List the files of the folder.

    Args:
        facts: The artifact's facts.
        options: Where it lies, and how it grows.

    Returns:
        Path -> content.

    Raises:
        UsageError: For options that cannot be.
    """
    _check(options)
    check_code(facts, trust_remote_code=options.trust_remote_code)
    has_gpu = bool(facts.gpu_reason) if options.gpu is None else options.gpu
    if has_gpu:
        facts.check_gpu()
    return {
        "servingruntime.yaml": to_yaml(_runtime(facts, options, has_gpu=has_gpu)),
        "inferenceservice.yaml": to_yaml(_service(facts, options, has_gpu=has_gpu)),
    }


def notes(facts: Facts, options: Options) -> Iterator[str]:
    """Remarks on the manifests, each a sentence."""
    if options.gpu is None and facts.gpu_reason:
        yield f"each replica gets a GPU, since {facts.gpu_reason}; --no-gpu takes it away"
    if not options.allow_anonymous:
        yield f"the API keys come from the secret {_secret(facts)}, key `keys`: the list of docs/fleet.md"
    if options.max_replicas > options.min_replicas:
        yield f"KEDA adds replicas, by hfspec_queue_rows as Prometheus at {options.prometheus} has it"


def _check(options: Options) -> None:
    if not URI.fullmatch(options.storage_uri):
        raise UsageError(f"--storage-uri {options.storage_uri!r} is no place, such as s3://bucket/minilm")
    if not IMAGE.fullmatch(options.image):
        raise UsageError(f"--image {options.image!r} is no name of an image, such as registry.example.org/minilm:1")
    if options.namespace is not None and not LABEL.fullmatch(options.namespace):
        raise UsageError(
            f"--namespace {options.namespace!r} is no name of Kubernetes: lower-case letters, digits and"
            " hyphens, at most 63"
        )
    if not 0 <= options.min_replicas <= options.max_replicas or options.max_replicas < 1:
        raise UsageError(
            f"--min-replicas {options.min_replicas} and --max-replicas {options.max_replicas} cannot be: 0 or more,"
            " and at most 1 or more"
        )
    if options.queue_rows < 1:
        raise UsageError(f"--queue-rows is 1 or more, not {options.queue_rows}")
    if not re.fullmatch(r"https?://[^\s]+", options.prometheus):
        raise UsageError(f"--prometheus {options.prometheus!r} is no address, such as {PROMETHEUS}")


def _secret(facts: Facts) -> str:
    return f"{facts.label}-api-keys"


def _runtime_name(facts: Facts) -> str:
    return f"{facts.label}-hfspec"


def _metadata(name: str, facts: Facts, options: Options, annotations: dict[str, str] | None = None) -> dict[str, Any]:
    labels = {"app.kubernetes.io/managed-by": "hfspec", "app.kubernetes.io/version": facts.manifest.digest[:12]}
    return {
        "name": name,
        **({} if options.namespace is None else {"namespace": options.namespace}),
        "labels": labels,
        **({"annotations": annotations} if annotations else {}),
    }


def _runtime(facts: Facts, options: Options, *, has_gpu: bool) -> dict[str, Any]:
    scraped = {"prometheus.io/scrape": "true", "prometheus.io/port": str(PORT), "prometheus.io/path": "/metrics"}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": _metadata(_runtime_name(facts), facts, options),
        "spec": {
            "annotations": scraped,
            "supportedModelFormats": [{"name": FORMAT, "version": "1", "autoSelect": False}],
            "protocolVersions": ["v2"],
            "multiModel": False,
            "containers": [_container(facts, options, has_gpu=has_gpu)],
            "volumes": [{"name": "tmp", "emptyDir": {}}],
        },
    }


def _container(facts: Facts, options: Options, *, has_gpu: bool) -> dict[str, Any]:
    environment: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in ENVIRONMENT.items() if name != "PATH"
    ]
    if not options.allow_anonymous:
        key = {"name": _secret(facts), "key": "keys"}
        environment.append({"name": KEYS, "valueFrom": {"secretKeyRef": key}})
    return {
        "name": "kserve-container",
        "image": options.image,
        "args": ["serve", MODELS, *overrides(facts, options, has_gpu=has_gpu)],
        "env": environment,
        "ports": [{"containerPort": PORT, "protocol": "TCP"}],
        "startupProbe": _probe("/live", period=10, failures=STARTS),
        "livenessProbe": _probe("/live", period=10, failures=6),
        "readinessProbe": _probe("/ready", period=5, failures=3),
        "resources": _resources(facts, has_gpu=has_gpu),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a volume of the pod's own
    }


def overrides(facts: Facts, options: Options, *, has_gpu: bool) -> list[str]:
    """The server's arguments after the artifact: KServe asks for the model by the InferenceService's name."""
    entry: list[str] = []
    if facts.label != facts.name:
        entry.append(f"aliases: ['{facts.label}']")
    if has_gpu:
        entry.append("device: cuda")
    if options.trust_remote_code and facts.manifest.code:
        entry.append("trust_remote_code: true")
    access = "server.allow_anonymous=true" if options.allow_anonymous else f"server.api_keys.environment={KEYS}"
    return [
        *([f"models={{{facts.name}: {{{', '.join(entry)}}}}}"] if entry else []),
        "server.host=0.0.0.0",
        f"server.port={PORT}",
        "server.logs.format=json",
        access,
    ]


def _probe(path: str, *, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": PORT},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }


def _resources(facts: Facts, *, has_gpu: bool) -> dict[str, Any]:
    needed, most = (f"{count // MIB}Mi" for count in facts.memory)
    gpu = {"nvidia.com/gpu": "1"} if has_gpu else {}
    cores = str(facts.manifest.deployment.runtime.get("threads") or 1)
    return {"requests": {"cpu": cores, "memory": needed, **gpu}, "limits": {"memory": most, **gpu}}


def _service(facts: Facts, options: Options, *, has_gpu: bool) -> dict[str, Any]:
    grows = options.max_replicas > options.min_replicas
    annotations = {
        "serving.kserve.io/deploymentMode": "Standard",
        "serving.kserve.io/autoscalerClass": "keda" if grows else "none",
    }
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": _metadata(facts.label, facts, options, annotations),
        "spec": {
            "predictor": {
                "minReplicas": options.min_replicas,
                "maxReplicas": options.max_replicas,
                "terminationGracePeriodSeconds": int(ServerSettings().grace) + 10,
                "model": {
                    "modelFormat": {"name": FORMAT, "version": "1"},
                    "runtime": _runtime_name(facts),
                    "protocolVersion": "v2",
                    "storageUri": options.storage_uri,
                    "resources": _resources(facts, has_gpu=has_gpu),
                },
                **({"autoScaling": {"metrics": [_metric(facts, options)]}} if grows else {}),
            }
        },
    }


def _metric(facts: Facts, options: Options) -> dict[str, Any]:
    selector = {"model": facts.name, **({"namespace": options.namespace} if options.namespace else {})}
    labels = ",".join(f"{name}={json.dumps(value)}" for name, value in selector.items())
    query = f"sum(hfspec_queue_rows{{{labels}}})"
    metric = {"backend": "prometheus", "serverAddress": options.prometheus, "query": query}
    return {
        "type": "External",
        "external": {"metric": metric, "target": {"type": "Value", "value": str(options.queue_rows)}},
    }
