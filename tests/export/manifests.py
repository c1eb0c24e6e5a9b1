"""What Kubernetes and KServe publish of their objects, as strict JSON Schemas, out of the packages that carry it.

Kubernetes' own are those of kubernetes-validate; KServe's are made of the classes of its Python package, which it
builds from the types of its custom resource definitions. No key may stand that is not known.
"""

from __future__ import annotations

import ast
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

VALIDATORS = "HFSPEC_VALIDATORS_PYTHON"
KUBERNETES = "1.34"
TEXT = {"type": "string"}
QUANTITIES = {"V1beta1MetricQuantity", "ResourceQuantity", "IntOrString"}
PLAIN = {"str": "string", "int": "integer", "bool": "boolean", "float": "number", "object": "object"}


class Published:
    """The schemas in a folder of installed packages."""

    def __init__(self, packages: Path) -> None:
        self.models = packages / "kserve" / "models"
        schemas = packages / "kubernetes_validate" / "kubernetes-json-schema" / f"v{KUBERNETES}.0-local-strict"
        self.definitions: dict[str, Any] = json.loads((schemas / "_definitions.json").read_text())["$defs"]

    def problems(self, manifest: dict[str, Any]) -> list[str]:
        """What is wrong with a manifest, each with its place."""
        group, _, version = manifest["apiVersion"].rpartition("/")
        prefix = version.capitalize() if group == "serving.kserve.io" else ""
        schema = self.schema(f"{prefix}{manifest['kind']}")
        validator = jsonschema.Draft202012Validator({**schema, "$defs": self.definitions})
        return [f"{'.'.join(map(str, error.path))}: {error.message}" for error in validator.iter_errors(manifest)]

    @cache  # noqa: B019 - there is one a test run
    def schema(self, name: str) -> dict[str, Any]:
        """Of a type as the Python packages call it: ``V1Container``, ``V1beta1PredictorSpec``, ``list[str]``."""
        if listed := re.fullmatch(r"list\[(.+)\]", name):
            return {"type": "array", "items": self.schema(listed[1])}
        if mapped := re.fullmatch(r"dict\(str, (.+)\)", name):
            return {"type": "object", "additionalProperties": self.schema(mapped[1])}
        if name in PLAIN:
            return {"type": PLAIN[name]}
        if name in QUANTITIES:
            return {"type": ["string", "integer"]}
        file = self.models / f"{_snake(name)}.py"
        return self._of_class(file) if file.exists() else self._definition(name)

    def _of_class(self, file: Path) -> dict[str, Any]:
        text = file.read_text()
        types, keys = _literal(text, "openapi_types"), _literal(text, "attribute_map")
        needed = re.findall(r"if self\.local_vars_configuration\.client_side_validation and (\w+) is None", text)
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {keys[name]: self.schema(kind) for name, kind in types.items()},
            "required": sorted({keys[name] for name in needed}),
        }

    def _definition(self, name: str) -> dict[str, Any]:
        """Of a type of Kubernetes' own; nothing may have a type that is unknown."""
        version, kind = re.fullmatch(r"(V\d+(?:alpha\d+|beta\d+)?)?(\w+)", name).groups()  # type: ignore[union-attr]
        ending = f".{(version or 'V1').lower()}.{kind}"
        found = [key for key in self.definitions if key.endswith(ending)]
        chosen = min(found, key=lambda key: (".core." not in key, key), default=None)
        return {"not": {}} if chosen is None else {"$ref": f"#/$defs/{chosen}"}


def _literal(text: str, name: str) -> dict[str, str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            value: dict[str, str] = ast.literal_eval(node.value)
            return value
    raise KeyError(name)


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@cache
def published() -> Published | None:
    """The schemas in the environment that .ci/run makes; None where there is none."""
    python = os.environ.get(VALIDATORS)
    if python is None:
        return None
    return Published(next((Path(python).parent.parent / "lib").glob("python*/site-packages")))


def ray_service(published: Published) -> dict[str, Any]:
    """The schema of a RayService, of KubeRay 1.7 (ray-operator/config/crd/bases/ray.io_rayservices.yaml): the fields of
    its own that exports use, with Kubernetes' own pods in them. No other may stand there. That definition itself, read
    strictly, takes the same manifests (tried by hand with v1.7.0: it is a megabyte, and no package has it).
    """
    text, whole, params = TEXT, {"type": "integer"}, {"type": "object", "additionalProperties": TEXT}
    pod = {"$ref": "#/$defs/io.k8s.api.core.v1.PodTemplateSpec"}
    head = _strict({"rayStartParams": params, "template": pod}, "template")
    counts = {"replicas": whole, "minReplicas": whole, "maxReplicas": whole}
    worker = {"groupName": text, **counts, "rayStartParams": params, "template": pod}
    group = _strict(worker, "groupName", "maxReplicas", "minReplicas", "template")
    cluster = {
        "rayVersion": text,
        "enableInTreeAutoscaling": {"type": "boolean"},
        "headGroupSpec": head,
        "workerGroupSpecs": {"type": "array", "items": group},
    }
    spec = _strict({"serveConfigV2": text, "rayClusterConfig": _strict(cluster, "headGroupSpec")}, "rayClusterConfig")
    meta = {"$ref": "#/$defs/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"}
    kind = {"apiVersion": {"const": "ray.io/v1"}, "kind": {"const": "RayService"}}
    return {**_strict({**kind, "metadata": meta, "spec": spec}, "spec"), "$defs": published.definitions}


def _strict(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": False, "properties": properties, "required": list(required)}
