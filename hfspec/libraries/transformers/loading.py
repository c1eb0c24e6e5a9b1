"""The load of a model of transformers, or of sentence-transformers, by torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hfspec.ir.artifact import Manifest
from hfspec.ir.lazy import named
from hfspec.runtime.loading.placement import Placement, placement
from hfspec.runtime.loading.remote_code import reviewed_classes
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.loading.threads import forget_threads, set_threads
from hfspec.runtime.runner import Runner


def place(
    manifest: Manifest, *, device: str | None, device_map: Any, threads: int | None, backend: str | None
) -> Placement:
    """The model's placement, with the threads of torch set; raises UsageError for an impossible one."""
    goal = placement(manifest, device, device_map, threads, backend)
    set_threads(goal.threads)
    forget_threads(goal.threads)
    return goal


def load(request: LoadRequest) -> Runner:
    """The task's runner, with its model loaded, the artifact's reviewed code where it has some."""
    import torch

    # Even in a caller's inference mode the model's weights are ordinary tensors, whose changes torch counts.
    with torch.inference_mode(mode=False):
        code = reviewed_classes(request.folder, request.manifest, request.task)
        runner: Runner = named(request.task.runner)(replace(request, code=code))
        return runner
