"""The load of a model of ONNX Runtime's generate(), by the library itself, on a CPU or by another provider."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hfspec.errors import StorageError, UsageError
from hfspec.ir.artifact import Manifest
from hfspec.ir.lazy import named
from hfspec.libraries.onnxruntime_genai.config import CONFIG, GenaiConfig, faults, setting_faults
from hfspec.runtime.loading.placement import Placement, check_threads
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.runner import Runner
from hfspec.tasks.task import Task

CPU = "cpu"
PROVIDERS = (CPU, "cuda", "dml")


def available(provider: str) -> bool:
    """Whether the installed library has this execution provider and a device for it."""
    import onnxruntime_genai

    checks = {"cuda": "is_cuda_available", "dml": "is_dml_available"}
    return provider == CPU or (provider in checks and bool(getattr(onnxruntime_genai, checks[provider])()))


def place(
    manifest: Manifest, *, device: str | None, device_map: Any, threads: int | None, backend: str | None
) -> Placement:
    """The execution provider: the caller's, the spec's, else the CPU; raises UsageError for an impossible one."""
    options, library = manifest.deployment.runtime, manifest.deployment.library
    device = options.get("device") if device is None else device
    if device_map is not None or backend is not None:
        name = "backend" if device_map is None else "device_map"
        raise UsageError(f"{name} is for models that torch computes; a model of {library} takes device and threads.")
    threads = options.get("threads") if threads is None else threads
    check_threads(threads)
    device = CPU if device in (None, "auto") else str(device)
    if device not in PROVIDERS:
        raise UsageError(f"device must be one of {', '.join(PROVIDERS)} for {library}, not {device!r}.")
    if not available(device):
        raise UsageError(
            f"the installed {library} cannot use {device} here; load with device='cpu', or install the package of"
            f" {library} that is built for {device} on a machine that has one."
        )
    return Placement(device, threads=threads, backend=library)


def load(request: LoadRequest) -> Runner:
    """The task's runner, with its model loaded."""
    runner: Runner = named(request.task.runner)(request)
    return runner


def config_folder(request: LoadRequest) -> Path:
    """The folder of the model's files: the one with the genai_config.json; raises StorageError without one."""
    paths = sorted(record.path for record in request.manifest.files if Path(record.path).name == CONFIG)
    if not paths:
        raise StorageError(f"the artifact has no {CONFIG}; compile it again.")
    return (request.model_folder / Path(paths[0]).relative_to("model")).parent


def read_config(folder: Path, task: Task) -> GenaiConfig:
    """The config in a folder; raises StorageError for one with which no model can run."""
    try:
        document = json.loads((folder / CONFIG).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{CONFIG} cannot be read: {error}.") from error
    problems = list(faults(document)) or list(setting_faults(document.get("search", {}), task))
    if problems:
        raise StorageError(f"{'; '.join(map(str, problems))}; compile the artifact again.")
    return GenaiConfig.of(document)


def load_model(folder: Path, device: str, threads: int | None) -> Any:
    """The library's model; raises StorageError where it cannot read the files."""
    import onnxruntime_genai

    onnxruntime_genai.disable_telemetry_events()
    try:
        config = onnxruntime_genai.Config(str(folder))
        config.clear_providers()
        if device != CPU:
            config.append_provider(device)
        if threads is not None:
            options = {"intra_op_num_threads": threads}
            config.overlay(json.dumps({"model": {"decoder": {"session_options": options}}}))
        return onnxruntime_genai.Model(config)
    except (RuntimeError, ValueError) as error:
        message = str(error).replace(str(folder), "the artifact's model").strip().splitlines()
        raise StorageError(f"onnxruntime-genai cannot load the model: {message[0] if message else error}.") from error
