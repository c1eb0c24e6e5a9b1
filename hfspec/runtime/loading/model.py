"""A model of transformers, from the artifact's folders.

Loading runs no code of the artifact but reviewed code, uses no network, and reads weights from safetensors only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from hfspec.errors import UsageError
from hfspec.formats.quantisation import quantisation
from hfspec.ir.dtypes import torch_dtype
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.backends import putting as backends
from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.reading import reading
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches import first_values, masks
from hfspec.runtime.patches.states import Patched, together
from hfspec.runtime.patches.table import FIRST_VALUES


def load_model(request: LoadRequest, model_class: Any, folder: Path | None = None, **settings: Any) -> Patched:
    """The model on its device, in its dtype, with the artifact's adapter where it has one, ready to answer, and the
    states of the patches tried on it.

    Args:
        request: the settled arguments of the load.
        model_class: its class, of transformers or of reviewed code.
        folder: the folder of its files, the model's by default.
        settings: more arguments of ``from_pretrained``.

    Raises:
        StorageError: its files cannot be read.
        UsageError: they lack some of its weights, or are quantised and should be cast.
    """
    source = folder or request.model_folder
    backend = backends.loads_itself(request)
    if backend is not None:
        with quiet():
            return backends.load_by(backend, request, model_class, source)
    from hfspec.library_calls.making import making

    _refuse_cast(request, source)
    brought = adapter.brought(request)
    if "model" in request.code:
        settings["config"] = load_config(request, source)
    unfilled = first_values.left_out(request.patches)
    with quiet(), reading(source, "model"), making(unfilled=unfilled.on):
        model, report = model_class.from_pretrained(
            str(source),
            local_files_only=True,
            use_safetensors=True,
            dtype=torch_dtype(request.dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=bool(brought),
            **({} if request.device_map is None else {"device_map": request.device_map}),
            **settings,
        )
    _refuse_gaps(report, model_class.__name__, brought)
    model.config.return_dict = True  # old checkpoints may ask for tuples, which name nothing
    with quiet():
        placed = backends.put(request, adapter.applied(request, _placed(request, model.eval())))
    return Patched(placed.model, together({FIRST_VALUES: unfilled}, placed.states))


def load_one_pass_model(request: LoadRequest, model_class: Any, folder: Path | None = None, **settings: Any) -> Patched:
    """A model that answers in one forward pass, as ``load_model`` loads it, with masks built without a GPU's wait."""
    model, states = load_model(request, model_class, folder, **settings)
    if backends.loads_itself(request) is not None:
        return Patched(model, states)
    with quiet():
        return Patched(model, together(states, masks.put(model, request)))


def load_config(request: LoadRequest, source: Path) -> Any:
    """The config in ``source``; raises StorageError when it cannot be read."""
    import transformers

    with quiet(), reading(source, "config"):
        if "config" in request.code:
            return request.code["config"].from_pretrained(str(source), local_files_only=True)
        return transformers.AutoConfig.from_pretrained(str(source), local_files_only=True, trust_remote_code=False)


def find_model_class(request: LoadRequest) -> Any:
    """The class that runs the model: that of reviewed code, else that of transformers."""
    reviewed = request.code.get("model")
    return _library_class(request.manifest.deployment.model_class) if reviewed is None else reviewed


def _library_class(name: str) -> Any:
    """A class of transformers by its name; raises UsageError when the installed one has no such class."""
    import transformers

    try:
        return getattr(transformers, name)
    except AttributeError as error:
        raise UsageError(
            f"the installed transformers {transformers.__version__} has no class {name}; install the version in the"
            " artifact's requirements.txt."
        ) from error


def _refuse_cast(request: LoadRequest, source: Path) -> None:
    stored = request.manifest.deployment.dtype
    if request.dtype == stored:
        return
    with reading(source, "config"):
        is_quantised = quantisation(json.loads((source / "config.json").read_bytes())) is not None
    if is_quantised:
        raise UsageError(f"the checkpoint is quantised, and cannot be cast to {request.dtype}: leave `dtype` out.")


def _placed(request: LoadRequest, model: Any) -> Any:
    """The model on the device where it answers; one that is spread over devices is there already."""
    return model if request.device_map is not None else model.to(request.device)


def _refuse_gaps(report: Mapping[str, Any], name: str, brought: Collection[str]) -> None:
    """Raise UsageError for missing or mismatched tensors; ``brought``: those that come with the adapter."""
    mismatched = {item[0] for item in report.get("mismatched_keys", ())}
    gaps = sorted({*report.get("missing_keys", ()), *mismatched}.difference(brought))
    if gaps:
        names = ", ".join(gaps[:5]) + (", …" if len(gaps) > 5 else "")
        raise UsageError(
            f"the weights do not fit {name}: {len(gaps)} tensors are missing or of another shape ({names}). The library"
            " would fill them with random numbers; compile from a complete checkpoint."
        )
