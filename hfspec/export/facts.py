"""An artifact's facts for every target of an export: one value, read once, its bytes verified."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.comparison.artifacts import SmallFiles, stated_settings
from hfspec.errors import UsageError
from hfspec.integrity.verification import verify_files
from hfspec.ir.artifact import FileRecord, Manifest
from hfspec.ir.backends import BACKENDS
from hfspec.ir.dtypes import HALVES
from hfspec.ir.patterns import SIZE_PATTERN
from hfspec.settings.precedence import InForce
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task
from hfspec.tasks.weight_formats import library_of

MIB, GIB = 2**20, 2**30
LIBRARIES_TAKE = GIB  # bytes that Python, torch and the HTTP process take beside the weights, with room
LARGE = 4 * GIB  # weights of a generator, in 16 bits, beyond which a CPU is too slow to serve it
LONGEST_LABEL = 40  # Kubernetes allows 63, but Kubernetes and hfspec append words


@dataclass(frozen=True, slots=True)
class Facts:
    """An artifact whose every byte is what its manifest says.

    ``requirements``: its own lines for pip. ``weights``: the files of its weights. ``settings``: name -> the value in
    force and its origin. ``files``: its small files.
    """

    folder: Path
    manifest: Manifest
    task: Task
    requirements: tuple[str, ...]
    weights: tuple[FileRecord, ...]
    settings: Mapping[str, InForce]
    files: SmallFiles

    @property
    def name(self) -> str:
        """The model's name, in requests too."""
        return self.manifest.name

    @property
    def label(self) -> str:
        """The name as Kubernetes and image registries take one: lower case, digits and single hyphens."""
        return label_of(self.name)

    @property
    def python(self) -> str:
        """The version of Python that it was planned for."""
        return str(self.manifest.versions["python"])

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they are saved."""
        return sum(file.size for file in self.weights)

    @property
    def memory(self) -> tuple[int, int]:
        """Bytes that a server with one replica needs, and its limit: the weights once, and twice, since a backend may
        order them anew, beside the libraries. A limit of the spec stands for a replica.
        """
        return (
            _rounded(self.weight_bytes + LIBRARIES_TAKE),
            _rounded(2 * self.weight_bytes + 2 * LIBRARIES_TAKE),
        )

    @property
    def gpu_reason(self) -> str:
        """Why it should have a GPU; empty where a CPU does."""
        deployment = self.manifest.deployment
        device = str(deployment.runtime.get("device", ""))
        if device.startswith("cuda"):
            return f"the spec's runtime.device is {device}"
        if self.generates and deployment.dtype in HALVES and self.weight_bytes > LARGE and not self.gpu_fault:
            return f"it generates, and has {self.weight_bytes / GIB:.1f} GiB of weights in {deployment.dtype}"
        return ""

    def check_gpu(self, option: str = "--gpu") -> None:
        """Raises UsageError, naming the option that asks for a GPU, where it cannot run on one."""
        if self.gpu_fault:
            raise UsageError(f"{option}: the model does not run on a GPU: {self.gpu_fault}; leave it out")

    @property
    def gpu_fault(self) -> str:
        """Why it cannot run on a GPU; empty where it can."""
        runtime = self.manifest.deployment.runtime
        device, backend = str(runtime.get("device", "auto")), str(runtime.get("backend", "auto"))
        library = library_of(self.manifest.deployment)
        if library is None or "torch" not in library.packages:
            return f"models of {self.manifest.deployment.library} without torch run on a CPU here"
        if device not in {"auto", "None"} and not device.startswith("cuda"):
            return f"the spec's runtime.device is {device}"
        if backend in BACKENDS and not BACKENDS[backend].takes("cuda"):
            return f"the backend {backend} runs on {BACKENDS[backend].where}"
        return ""

    @property
    def generates(self) -> bool:
        """Whether it answers with texts of its own."""
        return self.task.setting("max_new_tokens") is not None or self.task.setting("max_tokens") is not None

    @property
    def has_adapter(self) -> bool:
        """Whether a PEFT adapter lies beside the model."""
        return "adapter/adapter_config.json" in self.files.records

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json."""
        return self.files.json("model/config.json")

    def under(self, folder: str) -> dict[str, Path]:
        """The files below a folder of the artifact, by their paths in it."""
        return {
            path.removeprefix(folder): self.folder / path
            for path in sorted(self.files.records)
            if path.startswith(folder)
        }

    def chosen(self) -> Iterator[tuple[str, InForce]]:
        """The settings that the spec chose: its model_config and the defaults of its params."""
        deployment = self.manifest.deployment
        params = {param.name for param in self.manifest.signature.params}
        for name, setting in sorted(self.settings.items()):
            if name in deployment.model_config or name in params:
                yield name, setting


def facts_of(folder: Path) -> Facts:
    """Read and verify an artifact.

    Args:
        folder: The artifact's folder.

    Returns:
        Its facts.

    Raises:
        VerificationError: Its bytes are not those that were compiled.
        UsageError: Its weights lie elsewhere, or this hfspec does not know its task.
    """
    root = folder.absolute()
    manifest = verify_files(root)
    if manifest.pointers:
        raise UsageError(
            f"{folder} refers to weights that lie elsewhere, and what is exported must have them; run `hfspec persist"
            f" {folder}` first, or compile with save_mode=full"
        )
    task = table.find(manifest.deployment.library, manifest.deployment.task)
    if task is None:
        raise UsageError(f"{folder} has the task {manifest.deployment.task}, which this hfspec does not know")
    files = SmallFiles(root, {record.path: record for record in manifest.files})
    endings = (*LIBRARIES[manifest.deployment.library].weights, ".safetensors", ".bin", ".onnx", ".onnx.data")
    return Facts(
        folder=root,
        manifest=manifest,
        task=task,
        requirements=tuple(line for line in files.text("requirements.txt").splitlines() if line.strip()),
        weights=tuple(record for record in manifest.files if record.path.endswith(endings)),
        settings=stated_settings(files, manifest),
        files=files,
    )


def label_of(name: str) -> str:
    """The name as a label of RFC 1035: lower-case letters, digits and hyphens, a letter first, no hyphen last."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return (plain if plain[:1].isalpha() else f"m-{plain}")[:LONGEST_LABEL].strip("-")


def size_of(text: str, option: str) -> int:
    """Bytes of a size such as ``4GiB``; raises UsageError."""
    if not re.match(SIZE_PATTERN, text):
        raise UsageError(f"{option} is a size such as 4GiB or 500MiB, not {text!r}")
    number, unit = re.fullmatch(r"([0-9.]+)([A-Za-z]+)", text).groups()  # type: ignore[union-attr]
    factor = {"K": 1, "M": 2, "G": 3}[unit[0]]
    return int(float(number) * (2**10 if "i" in unit else 10**3) ** factor)


def _rounded(count: int) -> int:
    """Up to a whole number of 256 MiB."""
    return -(-count // (256 * MIB)) * 256 * MIB
