"""Put the backend that is in force on a loaded model."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from hfspec.errors import UsageError
from hfspec.ir.backends import AUTO, BACKENDS, ONEDNN, TORCH, Backend
from hfspec.runtime.loading.adapter import is_beside
from hfspec.runtime.patches.states import Patched, State, States, hindrance

if TYPE_CHECKING:
    from pathlib import Path

    from hfspec.runtime.loading.request import LoadRequest


def put(request: LoadRequest, model: Any) -> Patched:
    """The model, which answers through the request's backend; raises UsageError where that cannot run it."""
    name, states = _choice(request)
    if name == TORCH:
        return Patched(model, states)
    backend = BACKENDS[name]
    _check_dtype(request, name)
    _check_type(request, name, model)
    patched: Patched = backend.part("put")(model, request)
    return patched


def loads_itself(request: LoadRequest) -> Backend | None:
    """The request's backend, where it reads the model itself; None where torch does. Raises UsageError for an adapter
    or code beside the model, which such a backend would leave out.
    """
    backend = BACKENDS.get(request.backend)
    if backend is None or not backend.load:
        return None
    if not takes_library_model(request):
        refuse(request, "it has an adapter or reviewed code, which the backend would leave out")
    return backend


def load_by(backend: Backend, request: LoadRequest, model_class: Any, folder: Path) -> Patched:
    """The model as the backend itself reads it; raises UsageError where the backend cannot run it."""
    _check_dtype(request, request.backend)
    patched: Patched = backend.part("load")(request, model_class, folder)
    _check_type(request, request.backend, patched.model)
    return patched


def _check_dtype(request: LoadRequest, name: str) -> None:
    """Raises UsageError for a dtype that the backend does not run."""
    backend = BACKENDS[name]
    if request.dtype not in backend.dtypes:
        raise UsageError(
            f"the backend {name} runs {' and '.join(backend.dtypes)} weights, and these are {request.dtype};"
            " load with backend='torch'."
        )


def _check_type(request: LoadRequest, name: str, model: Any) -> None:
    """Raises UsageError for an architecture that the backend does not run."""
    backend = BACKENDS[name]
    kind = str(getattr(model.config, "model_type", None))
    if backend.model_types is not None and kind not in backend.model_types:
        refuse(request, f"it is of the type {kind}, and the backend runs {', '.join(sorted(backend.model_types))}")


def check(name: str, library: str, task: str) -> None:
    """Raises UsageError for a backend that does not exist, cannot run the task, or is not installed here."""
    names = (AUTO, TORCH, *BACKENDS)
    if name not in names:
        raise UsageError(f"backend must be one of {', '.join(names)}, not {name!r}.")
    if name in (AUTO, TORCH):
        return
    backend = BACKENDS[name]
    if backend.tasks is not None and (library, task) not in backend.tasks:
        raise UsageError(f"the backend {name} does not run the task {task} of {library}; load with backend='torch'.")
    if backend.package is not None and find_spec(backend.package) is None:
        raise UsageError(f"the backend {name} needs the package {backend.package}; pip install 'hfspec[{name}]'.")


def _choice(request: LoadRequest) -> tuple[str, States]:
    """The backend's name, with the reason where the processor lacks what oneDNN needs; ``auto`` is oneDNN for a model
    of transformers as it is, in dtypes where that is faster.
    """
    if request.backend != AUTO:
        return request.backend, {}
    runs = request.dtype in BACKENDS[ONEDNN].dtypes
    if request.device != "cpu" or request.device_map is not None or not runs or not takes_library_model(request):
        return TORCH, {}
    from hfspec.runtime.backends.onednn import capability, is_faster

    if is_faster(request.dtype):
        return ONEDNN, {}
    slower = State(on=False, why=f"The backend is torch: on {capability()} oneDNN was not measured to be faster.")
    return TORCH, {ONEDNN: hindrance(request.patches, ONEDNN) or slower}


def takes_library_model(request: LoadRequest) -> bool:
    """Whether the model is a class of transformers, with no adapter beside it."""
    return not is_beside(request) and "model" not in request.code


def refuse(request: LoadRequest, why: str) -> None:
    """Raises UsageError, saying why, where the backend would be ignored or could answer otherwise than torch."""
    if request.backend not in (AUTO, TORCH):
        raise UsageError(f"the backend {request.backend} cannot run this checkpoint: {why}; load with backend='torch'.")
