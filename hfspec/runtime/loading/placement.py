"""The place of a model: the caller's of load, else the spec's, else a GPU where torch finds one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from hfspec.errors import UsageError
from hfspec.ir.artifact import Manifest
from hfspec.ir.backends import AUTO, BACKENDS, TORCH
from hfspec.runtime.backends.putting import check
from hfspec.tasks.libraries import LIBRARIES

MAPS = ("auto", "balanced", "balanced_low_0", "sequential")


@dataclass(frozen=True, slots=True)
class Placement:
    """A model's place. ``device``: of inputs, and of the model unless ``device_map`` spreads it. ``threads``: of torch
    on the CPU, None to leave them as they are. ``backend``: its name in ``ir/backends.py``.
    """

    device: str
    device_map: Any = None
    threads: int | None = None
    backend: str = TORCH


def placement(
    manifest: Manifest, device: str | None, device_map: Any, threads: int | None, backend: str | None = None
) -> Placement:
    """The placement in force, each value from the caller before the spec; raises UsageError for an impossible one."""
    options = manifest.deployment.runtime
    if device is not None and device_map is not None:
        raise UsageError("give device, which takes the whole model, or device_map, which spreads it, not both.")
    if device is None and device_map is None:
        device, device_map = options.get("device"), options.get("device_map")
    _check_map(device_map, manifest)
    threads = options.get("threads") if threads is None else threads
    check_threads(threads)
    name = str(options.get("backend", AUTO)) if backend is None else backend
    check(name, manifest.deployment.library, manifest.deployment.task)
    if name not in (AUTO, TORCH):
        return Placement(_of_backend(name, device, device_map), None, threads, name)
    if device in (None, "auto"):
        device = _only_device(device_map)
    return Placement(_device(device), device_map, threads, name)


def _of_backend(name: str, device: str | None, device_map: Any) -> str:
    """The device of a backend; raises UsageError for another ``device``."""
    backend = BACKENDS[name]
    usual = backend.devices[0]
    if device_map is not None or not backend.takes(device):
        raise UsageError(
            f"the backend {name} runs on {backend.where}; load with device={usual!r}, or with backend='torch'."
        )
    return usual if device in (None, AUTO) else str(device)


def _check_map(device_map: Any, manifest: Manifest) -> None:
    if device_map is None:
        return
    library = manifest.deployment.library
    if not LIBRARIES[library].spreads:
        able = " and ".join(row.name for row in LIBRARIES.values() if row.spreads)
        raise UsageError(f"device_map spreads models of {able}; give device for {library}.")
    if device_map not in MAPS and not isinstance(device_map, Mapping):
        raise UsageError(f"device_map must be one of {', '.join(MAPS)}, or module -> device, not {device_map!r}.")
    try:
        import_module("accelerate")
    except ImportError as error:
        raise UsageError("device_map needs the package accelerate; pip install 'hfspec[device-map]'.") from error


def _only_device(device_map: Any) -> str | None:
    """The only device of a map, to which hfspec has to move the inputs; None for a map with several."""
    names = {_name(device) for device in device_map.values()} if isinstance(device_map, Mapping) else set()
    return names.pop() if len(names) == 1 and "disk" not in names else None


def _name(device: Any) -> str:
    """The device's name in torch; a number is a GPU's."""
    return f"cuda:{device}" if type(device) is int else str(device)


def _device(name: str | None) -> str:
    import torch

    if name is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UsageError(f"device {name!r} cannot be used here: {reason}") from error
    place = torch.device(name)
    return "cpu" if place.type == "cpu" else str(place)  # the CPU is one device, whatever its number


def check_threads(threads: object) -> None:
    """Raises UsageError for anything but None or a number of threads."""
    if threads is not None and (type(threads) is not int or threads < 1):
        raise UsageError(f"threads must be a number, at least 1, not {threads!r}.")
