"""An artifact's account of its deployment, from its manifest and its small files; weights are never opened."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hfspec.checkpoint.card import FRONT_MATTER
from hfspec.checkpoint.label_names import answers_labels
from hfspec.comparison.parts import account, signature_parts, task_name
from hfspec.errors import VerificationError
from hfspec.formats.label_names import stated_labels
from hfspec.integrity.paths import path_fault
from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import PARTS, Deployment, FileRecord, Manifest, adapter_saved
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import FrozenDict, freeze, thaw
from hfspec.ir.golden import GOLDEN, INPUT_EXAMPLE
from hfspec.settings.precedence import InForce, Settings, fixed_layers
from hfspec.tasks import table
from hfspec.tasks.libraries import GENERATION, LIBRARIES

LARGEST_READ = 64 << 20
RUNTIME = "code/"
DECLARED = re.compile(r"^(license(?:_name|_link)?):[ \t]*[\"']?([^\r\n\"'#]+?)[\"']?[ \t]*\r?$", re.MULTILINE)
WEIGHTS = (".bin", *sorted({ending for library in LIBRARIES.values() for ending in library.weights}))
TOLD_ELSEWHERE = ("LICENSE", INPUT_EXAMPLE, GOLDEN)
# The keys of the manifest that the account states in words of its own; any other is stated as it stands.
STATED = frozenset(
    {"format_version", "name", "spec_digest", "sources", "deployment", "signature", "files", "versions", "made_by"}
    | {"metadata", "space", "fingerprint", "pointers"}
)
DEPLOYMENT_STATED = frozenset(
    {"library", "task", "task_as_written", "model_class", "dtype", "outputs", "prompt_template", "model_config"}
    | {"defaults", "components", "options"}
)
# Who wrote the file and when, not what it says.
NOT_SETTINGS = ("transformers_version", "_from_model_config")


def artifact_account(folder: Path) -> FrozenDict:
    """Tell what an artifact says of itself, checked against its manifest as far as it is read.

    Args:
        folder: The artifact's folder.

    Returns:
        The account, group by group.

    Raises:
        VerificationError: The manifest is damaged, or a small file is not what the manifest says.
    """
    manifest = read_manifest(folder)
    records = _told_once(manifest)
    files = SmallFiles(folder, {record.path: record for record in records})
    deployment = manifest.deployment
    return account(
        {
            "name": manifest.name,
            "task": {
                "library": deployment.library,
                "task": task_name(deployment.library, deployment.task_as_written),
            },
            **_origins(manifest),
            "prompt template": deployment.prompt_template,
            "chat template": _chat_templates(files),
            "labels": files.json("model/config.json").get("id2label"),
            "model_config": deployment.model_config,
            "generation defaults": _generation(files, deployment.library),
            "defaults of hfspec": deployment.defaults,
            "signature": signature_parts(manifest.signature),
            "dtype": deployment.dtype,
            "outputs": deployment.outputs,
            "licence": _licence(files),
            "metadata": manifest.metadata,
            "input example": files.value(INPUT_EXAMPLE),
            "golden": {str(place): golden for place, golden in enumerate(files.value(GOLDEN) or (), start=1)},
            "embedding space": _without_none({"space": manifest.space, "fingerprint": manifest.fingerprint}),
            "library versions": {**manifest.versions, **manifest.makers},
            "changed from the source": manifest.cleaned,
            "convert": manifest.converted,
            "adapter": adapter_saved(manifest.sources, files.records) or None,
            "save mode": "reference" if manifest.pointers else "full",
            **_contents(
                manifest.files, records, [_weight_record(file) for each in manifest.pointers for file in each.files]
            ),
            **{key: value for key, value in manifest.to_json().items() if key not in STATED},
            "deployment": {
                key: getattr(deployment, key) for key in Deployment.__slots__ if key not in DEPLOYMENT_STATED
            },
        }
    )


def artifact_labels(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    """Read the labels that the model answers with.

    Args:
        folder: The artifact's folder.
        manifest: Its manifest.

    Returns:
        The labels by their numbers; none for tasks without labels.

    Raises:
        VerificationError: The file that holds them is not what the manifest says.
    """
    task = table.find(manifest.deployment.library, manifest.deployment.task)
    if task is None or not answers_labels(task):
        return ()
    files = SmallFiles(folder, {record.path: record for record in manifest.files})
    return stated_labels(files.json("model/config.json"))


def stated_settings(files: SmallFiles, manifest: Manifest) -> dict[str, InForce]:
    """The settings in force as an artifact states them: nothing is loaded.

    Args:
        files: The artifact's small files.
        manifest: Its manifest.

    Returns:
        Name -> value and the layer it comes from; those that modules of sentence-transformers state are not known.

    Raises:
        VerificationError: The generation config is not what the manifest says.
    """
    task = table.find(manifest.deployment.library, manifest.deployment.task)
    if task is None:
        return {}
    own = {name: value for name, value in _generation(files, task.library).items() if task.setting(name)}
    return Settings(fixed_layers(task, manifest, own, {})).table()


def _told_once(manifest: Manifest) -> tuple[FileRecord, ...]:
    """The files without those that are only there for MLflow's flavors, and are made of the model's own."""
    own = tuple(f"{source.role}/" for source in manifest.sources)
    for_mlflow = ("components/", "model.sentence_transformer/")
    return tuple(
        record for record in manifest.files if not record.path.startswith(for_mlflow) or record.path.startswith(own)
    )


class SmallFiles:
    """Files of an artifact by path, each checked against its record before anything parses it."""

    def __init__(self, folder: Path, records: Mapping[str, FileRecord]) -> None:
        self.folder = folder
        self.records = records

    def text(self, path: str) -> str:
        """Read a small file.

        Args:
            path: The file's path in the artifact.

        Returns:
            Its text; empty when the artifact has no such file.

        Raises:
            VerificationError: It cannot be read.
        """
        record = self.records.get(path)
        return "" if record is None else self._checked(record).decode("utf-8", errors="replace")

    def value(self, path: str) -> Any:
        """Read a small file as JSON.

        Args:
            path: The file's path in the artifact.

        Returns:
            Its JSON value; None when there is none, or when it holds something else.

        Raises:
            VerificationError: It cannot be read.
        """
        try:
            return freeze(json.loads(self.text(path) or "null"))
        except (ValueError, RecursionError):
            return None

    def json(self, path: str) -> Mapping[str, Any]:
        """Read a small file as a JSON object.

        Args:
            path: The file's path in the artifact.

        Returns:
            Its JSON object; empty when there is none.

        Raises:
            VerificationError: It cannot be read.
        """
        value = self.value(path)
        return value if isinstance(value, FrozenDict) else {}

    def _checked(self, record: FileRecord) -> bytes:
        fault = path_fault(record.path) or ("is too large to compare" if record.size > LARGEST_READ else "")
        if fault:
            raise VerificationError(f"{record.path} of the folder {self.folder}: {fault}.", [record.path])
        try:
            flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
            with os.fdopen(os.open(self.folder / record.path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
                data = file.read(record.size + 1)
        except OSError as error:
            message = f"{record.path} of the folder {self.folder} cannot be read: {error.strerror}."
            raise VerificationError(message, [record.path]) from error
        if hashlib.sha256(data).hexdigest() != record.sha256:
            message = f"{record.path} of the folder {self.folder} is not what was compiled; compile it again."
            raise VerificationError(message, [record.path])
        return data


def _origins(manifest: Manifest) -> dict[str, Any]:
    """Model, adapter and components: the source of each, its class, and the options that the spec sets."""
    deployment = manifest.deployment
    parts: dict[str, dict[str, Any]] = {"model": {"class": deployment.model_class}}
    for name, kind in deployment.components.items():
        parts[f"components/{name}"] = {"class": kind}
    for name, options in deployment.options.items():
        parts.setdefault(f"components/{name}", {})["options"] = options
    for source in manifest.sources:
        values = {key: value for key, value in source.to_json().items() if key not in ("role", "kind", "location")}
        parts.setdefault(source.role, {}).update({source.kind: source.location, **_without_none(values)})
    components = {role.removeprefix("components/"): part for role, part in parts.items() if role.startswith(PARTS)}
    return {**{role: part for role, part in parts.items() if not role.startswith(PARTS)}, "components": components}


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: thaw(value) for key, value in values.items() if value is not None}


def _chat_templates(files: SmallFiles) -> dict[str, Any]:
    """Every chat template by the file that holds it, ``tokenizer_config.json`` for one that stands in there."""
    templates = {path: files.text(path) for path in files.records if _is_part(path) and path.endswith(".jinja")}
    for path in files.records:
        if _is_part(path) and path.endswith(("tokenizer_config.json", "chat_template.json", "processor_config.json")):
            template = files.json(path).get("chat_template")
            if template:
                templates[path] = template
    return templates


def _generation(files: SmallFiles, library: str) -> dict[str, Any]:
    """The settings of generation that the model's own files state."""
    name, key = LIBRARIES[library].generation if library in LIBRARIES else GENERATION
    path = next((path for path in sorted(files.records) if _is_part(path) and PurePosixPath(path).name == name), "")
    config = files.json(path)
    entry = config.get(key) if key else config
    settings = entry if isinstance(entry, Mapping) else {}
    return {key: value for key, value in settings.items() if key not in NOT_SETTINGS}


def _licence(files: SmallFiles) -> dict[str, Any]:
    front = FRONT_MATTER.match(files.text("README.md"))
    fields = dict(DECLARED.findall(front.group(1))) if front else {}
    record = files.records.get("LICENSE")
    return {**fields, **({"LICENSE": record.sha256} if record else {})}


def _weight_record(file: FileRecord) -> FileRecord:
    """A weight file that the artifact refers to, where a full one has it."""
    return FileRecord(f"model/{file.path}", file.size, file.sha256)


def _contents(
    all_files: tuple[FileRecord, ...], records: tuple[FileRecord, ...], pointed: list[FileRecord]
) -> dict[str, Any]:
    """Sizes of what is there, and digests of ``records``: one for all weights, also those ``pointed`` at, one for the
    runtime's copy, one for each other file.
    """
    own = [record for record in records if _is_part(record.path) and record.path.endswith(WEIGHTS)]
    weights = sorted([*own, *pointed], key=lambda record: record.path)
    runtime = [record for record in records if record.path.startswith(RUNTIME)]
    code = [record for record in records if _is_part(record.path) and record.path.endswith(".py")]
    paths_elsewhere = {record.path for record in (*weights, *runtime, *code)}.union(TOLD_ELSEWHERE)
    files = {record.path: record.sha256 for record in records if record.path not in paths_elsewhere}
    size = {"total": sum(record.size for record in all_files), "weights": sum(record.size for record in own)}
    return {
        "size": size,
        "weights": {"files": len(weights), "sha256": _together(weights)},
        "code files": {record.path: record.sha256 for record in code},
        "files": {**files, RUNTIME: _together(runtime)},
    }


def _together(records: list[FileRecord]) -> str:
    return digest_of({record.path: record.sha256 for record in records})


def _is_part(path: str) -> bool:
    return path.startswith(PARTS)
