"""The backend that answers for a loaded model, and the one that ``auto`` takes on another machine."""

from __future__ import annotations

from hfspec.ir.backends import AUTO, BACKENDS, ONEDNN, TORCH
from hfspec.runtime.backends.half_precision import dtype_note
from hfspec.runtime.backends.putting import takes_library_model
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.states import States, hindrance

INSTRUCTIONS = "AVX-512"


def taken(request: LoadRequest, states: States) -> str:
    """The name of the backend that answers. ``states``: of the patches tried at the load."""
    if request.backend not in (AUTO, ONEDNN):
        return request.backend
    return ONEDNN if ONEDNN in states and states[ONEDNN].on else TORCH


def trial_note(request: LoadRequest, states: States) -> str:
    """A note for the user of compile: the backend of the trial run, that of a server where it depends on the processor,
    and whether the weights' dtype is slow here.
    """
    name = taken(request, states)
    sentence = f"The trial run took the backend {name} on {request.device}"
    others = _elsewhere(request, states, name)
    backend = (
        f"{sentence}; a server takes {others}, with answers that differ in rounding." if others else f"{sentence}."
    )
    return " ".join(filter(None, (backend, dtype_note(request))))


def _elsewhere(request: LoadRequest, states: States, name: str) -> str:
    """The backend that ``auto`` takes on other machines; empty where it takes the same on each."""
    able = takes_library_model(request) and request.dtype in BACKENDS[ONEDNN].dtypes and request.device_map is None
    if request.backend != AUTO or not able or not states or hindrance(request.patches, ONEDNN) is not None:
        return ""
    from hfspec.runtime.backends.onednn import is_faster

    moves = request.manifest.deployment.runtime.get("device") in (None, AUTO)
    if request.device != "cpu":
        return f"{ONEDNN} on a CPU with {INSTRUCTIONS}" if moves else ""
    if name == ONEDNN:
        return f"{TORCH} on a processor without {INSTRUCTIONS}{' or on a GPU' if moves else ''}"
    return "" if is_faster(request.dtype) else f"{ONEDNN} on a processor with {INSTRUCTIONS}"
