"""Manifests for KubeRay: a RayService whose application is the fleet, and the fleet file in a ConfigMap."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hfspec.artifact.yaml_text import to_yaml
from hfspec.errors import UsageError
from hfspec.export.docker import ENVIRONMENT, KEYS
from hfspec.export.facts import GIB, MIB, Facts, label_of
from hfspec.export.kserve import IMAGE, LABEL
from hfspec.export.writing import Files
from hfspec.serving.fleet.values import Fleet, FleetModel

BUILDER = "hfspec.serving.cluster.ingress:application"
RAY = "2.60.0"  # this Ray Serve makes the ingress when it starts
PORT = 8000
ANYWHERE = "0.0.0.0"  # noqa: S104 - a pod, to which Kubernetes admits requests
CONFIG = "/etc/hfspec"
CARRIED = ("cors", "limits", "grace", "logs", "metrics", "page", "docs", "telemetry")
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


@dataclass(frozen=True, slots=True)
class Options:
    """``image``: one with Ray, hfspec and the artifacts, each at ``models``/its name."""

    image: str
    models: str = "/opt/hfspec/models"
    ray_version: str = RAY
    namespace: str | None = None


def files(fleet: Fleet, facts: Mapping[str, Facts], name: str, options: Options) -> Files:
    """List the files of the folder.

    Args:
        fleet: The fleet.
        facts: Model's name -> its artifact's facts.
        name: The service's name.
        options: Where the artifacts lie.

    Returns:
        Path -> content.

    Raises:
        UsageError: For options that cannot be, and for everything in the fleet that Ray Serve cannot express.
    """
    _check(options)
    if reasons := list(_reasons(fleet, facts)):
        lines = "\n".join(f"  {reason}" for reason in reasons)
        raise UsageError(f"rayserve cannot express the fleet; `hfspec serve --engine ray` keeps to it:\n{lines}")
    label = label_of(name)
    return {
        "configmap.yaml": to_yaml(_config_map(fleet, label, options)),
        "rayservice.yaml": to_yaml(_service(fleet, facts, label, options)),
    }


def notes(fleet: Fleet, name: str) -> Iterator[str]:
    """Remarks on the manifests, each a sentence."""
    if fleet.server.api_keys is not None:
        yield f"the API keys come from the secret {label_of(name)}-api-keys, key `keys`: the list of docs/fleet.md"


def _check(options: Options) -> None:
    if not IMAGE.fullmatch(options.image):
        raise UsageError(f"--image {options.image!r} is no name of an image, such as registry.example.org/fleet:1")
    if not PurePosixPath(options.models).is_absolute():
        raise UsageError(f"--models {options.models!r} is a folder of the image, with its whole path")
    if not VERSION.fullmatch(options.ray_version):
        raise UsageError(f"--ray-version {options.ray_version!r} is no version, such as {RAY}")
    if options.namespace is not None and not LABEL.fullmatch(options.namespace):
        raise UsageError(f"--namespace {options.namespace!r} is no name of Kubernetes: lower-case letters and hyphens")


def _reasons(fleet: Fleet, facts: Mapping[str, Facts]) -> Iterator[str]:
    server = fleet.server
    if server.api_keys is None and not server.allow_anonymous:
        yield "server.api_keys: whoever reaches the service could use it; add keys, or server.allow_anonymous=true"
    for key in ("tls", "unix_socket", "grpc_port"):
        if getattr(server, key) is not None:
            yield f"server.{key}: Ray Serve itself listens, for HTTP; leave it out, and let the cluster's ingress do it"
    for entry in fleet.models:
        if entry.signature_key is not None:
            yield f"models.{entry.name}.signature_key: a file of this machine; verify before the image is made"
        if facts[entry.name].manifest.code and not entry.trust_remote_code:
            yield f"models.{entry.name}: it brings reviewed code; consent to it with trust_remote_code: true"


def _config_map(fleet: Fleet, label: str, options: Options) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(label, options),
        "data": {"fleet.yaml": to_yaml(fleet_document(fleet, options))},
    }


def fleet_document(fleet: Fleet, options: Options) -> dict[str, Any]:
    """The fleet file for the cluster: the artifacts where the image has them, the keys in the environment."""
    values = fleet.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    models = {entry["name"]: {**entry, "artifact": f"{options.models}/{entry['name']}"} for entry in values["models"]}
    for entry in models.values():
        del entry["name"]
    server = {key: value for key, value in values.get("server", {}).items() if key in CARRIED}
    access = {"api_keys": {"environment": KEYS}} if fleet.server.api_keys else {"allow_anonymous": True}
    return {"models": models, "server": {**server, **access}}


def _metadata(label: str, options: Options) -> dict[str, Any]:
    return {
        "name": label,
        **({} if options.namespace is None else {"namespace": options.namespace}),
        "labels": {"app.kubernetes.io/managed-by": "hfspec"},
    }


def _service(fleet: Fleet, facts: Mapping[str, Facts], label: str, options: Options) -> dict[str, Any]:
    serves = {
        "http_options": {"host": ANYWHERE, "port": PORT},
        "applications": [
            {
                "name": "hfspec",
                "route_prefix": "/",
                "import_path": BUILDER,
                "args": {"fleet": f"{CONFIG}/fleet.yaml"},
                "deployments": [_deployment(entry) for entry in fleet.models],
            }
        ],
    }
    head = _group(label, options, fleet, ("1", 2 * GIB, 4 * GIB, 0), is_head=True)
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayService",
        "metadata": _metadata(label, options),
        "spec": {
            "serveConfigV2": to_yaml(serves),
            "rayClusterConfig": {
                "rayVersion": options.ray_version,
                "enableInTreeAutoscaling": any(entry.autoscaling is not None for entry in fleet.models),
                "headGroupSpec": {"rayStartParams": {"num-cpus": "1", "dashboard-host": ANYWHERE}, "template": head},
                "workerGroupSpecs": [
                    _workers(entry, facts[entry.name], label, options, fleet) for entry in fleet.models
                ],
            },
        },
    }


def _resource(entry: FleetModel) -> str:
    """A resource of the pods that are large enough for the model, so that its replicas start nowhere else."""
    return f"model.{entry.name}"


def _deployment(entry: FleetModel) -> dict[str, Any]:
    actor = {"num_cpus": entry.threads or 1, "num_gpus": entry.gpus or 0, "resources": {_resource(entry): 1}}
    return {"name": f"model.{entry.name}", "ray_actor_options": actor}


def _workers(entry: FleetModel, facts: Facts, label: str, options: Options, fleet: Fleet) -> dict[str, Any]:
    """Pods for the replicas of a model, one in each."""
    scaling = entry.autoscaling
    least, most = (scaling.min_replicas, scaling.max_replicas) if scaling else (entry.replicas, entry.replicas)
    needed, allowed = facts.memory
    size = (str(entry.threads or 1), needed, max(allowed, (entry.limits.memory or 0) + GIB), math.ceil(entry.gpus or 0))
    return {
        "groupName": label_of(entry.name),
        "replicas": least,
        "minReplicas": least,
        "maxReplicas": most,
        "rayStartParams": {"resources": json.dumps(json.dumps({_resource(entry): 1}))},
        "template": _group(label, options, fleet, size, is_head=False),
    }


def _group(
    label: str, options: Options, fleet: Fleet, size: tuple[str, int, int, int], *, is_head: bool
) -> dict[str, Any]:
    """The pods of a group. ``size``: cores, bytes requested, most bytes, GPUs."""
    cores, needed, most, gpus = size
    gpu = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    environment: list[dict[str, Any]] = [
        {"name": name, "value": value} for name, value in ENVIRONMENT.items() if name not in {"PATH", "HOME", "USER"}
    ]
    if fleet.server.api_keys is not None:
        key = {"name": f"{label}-api-keys", "key": "keys"}
        environment.append({"name": KEYS, "valueFrom": {"secretKeyRef": key}})
    ports = (("gcs", 6379), ("dashboard", 8265), ("client", 10001), ("serve", PORT)) if is_head else ()
    container = {
        "name": "ray-head" if is_head else "ray-worker",
        "image": options.image,
        "env": environment,
        **({"ports": [{"name": name, "containerPort": port} for name, port in ports]} if ports else {}),
        "resources": {
            "requests": {"cpu": cores, "memory": f"{needed // MIB}Mi", **gpu},
            "limits": {"memory": f"{most // MIB}Mi", "cpu": cores, **gpu},
        },
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [{"name": "fleet", "mountPath": CONFIG, "readOnly": True}],
    }
    return {"spec": {"containers": [container], "volumes": [{"name": "fleet", "configMap": {"name": label}}]}}
