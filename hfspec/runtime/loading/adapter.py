"""The artifact's PEFT adapter, put on the model as ``PeftModel.from_pretrained`` does."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from hfspec.errors import UsageError
from hfspec.formats.adapter_config import BEFORE_NAMES, CONFIG, FOLDER, WEIGHTS
from hfspec.runtime.loading.reading import reading

if TYPE_CHECKING:
    from hfspec.runtime.loading.request import LoadRequest

# peft counts positions itself from the prompt on, and warns at every step that it drops those of generate(). This is
# its method that does both.
ADJUSTING, DROPPED = "_adjust_prompt_learning_kwargs", ("position_ids", "token_type_ids")
OFFSET = ("PREFIX_TUNING", "CARTRIDGE")  # kinds whose positions it keeps

_APPLYING = Lock()  # filters of warnings are the process's: of two calls one would put back the other's


def is_beside(request: LoadRequest) -> bool:
    """Whether the artifact has an adapter beside its model."""
    return _folder(request) is not None


def brought(request: LoadRequest) -> frozenset[str]:
    """The names of the model's own tensors that the adapter replaces, such as those of a head; none without one."""
    folder = _folder(request)
    if folder is None:
        return frozenset()
    from safetensors import safe_open

    with reading(folder, "adapter"), safe_open(folder / WEIGHTS, framework="pt") as file:
        return frozenset(name.removeprefix(BEFORE_NAMES) for name in file.keys())  # noqa: SIM118 - no mapping


def applied(request: LoadRequest, model: Any) -> Any:
    """The model with the adapter, ready to answer; the model itself where the artifact has no adapter.

    Most adapters change the model's layers in place: it stays of its class, with its config and its methods, and
    answers as the PeftModel around it does. With learned prompts, which the PeftModel puts before every input, this is
    the PeftModel with the signature of the model's own ``forward``. An adapter keeps the dtype that peft gives it:
    float32 beside a base in half precision. Raises UsageError when peft is not installed, StorageError.
    """
    folder = _folder(request)
    if folder is None:
        return model
    peft = _library(request)
    with reading(folder, "adapter"), _APPLYING, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft's use of transformers warns, and a filter that raises would end it
        wrapped = peft.PeftModel.from_pretrained(model, str(folder), is_trainable=False, torch_device="cpu").eval()
    if not wrapped.active_peft_config.is_prompt_learning:
        return wrapped.get_base_model()
    wrapped.forward = _with_signature(wrapped.forward, model.forward)
    _drop_unheard(wrapped)
    return wrapped


def _drop_unheard(wrapped: Any) -> None:
    """Let this model drop positions without a warning, since that is right."""
    adjusted: Any = getattr(wrapped, ADJUSTING, None)
    if adjusted is None or wrapped.active_peft_config.peft_type.name in OFFSET:
        return

    @functools.wraps(adjusted)
    def adjust(config: Any, *, kwargs: dict[str, Any], remove_token_type_ids: bool = True) -> None:
        for name in DROPPED if remove_token_type_ids else DROPPED[:1]:
            kwargs.update({name: None} if name in kwargs else {})
        adjusted(config, kwargs=kwargs, remove_token_type_ids=remove_token_type_ids)

    setattr(wrapped, ADJUSTING, adjust)


def virtual_tokens(model: Any) -> int:
    """How many positions a learned prompt takes before every input."""
    prompt: Any = getattr(model, "active_peft_config", None)
    return int(prompt.num_virtual_tokens) if getattr(prompt, "is_prompt_learning", False) else 0


def turn(model: Any) -> AbstractContextManager[object]:
    """The context of every call of the model's generate(). With a learned prompt one runs at a time: peft changes the
    model's own ``prepare_inputs_for_generation`` while it generates, and changes it back under any other call.
    """
    return Lock() if virtual_tokens(model) else nullcontext()


def reads_alone(request: LoadRequest) -> bool:
    """Whether each row must be read by itself: a learned prompt makes positions count on over any padding."""
    folder = _folder(request)
    if folder is None:
        return False
    with reading(folder, "adapter"):
        return "num_virtual_tokens" in json.loads((folder / CONFIG).read_bytes())


def _with_signature(forward: Callable[..., Any], own: Callable[..., Any]) -> Callable[..., Any]:
    """``forward`` with the parameters of the model's own, by which runners know what it takes."""

    @functools.wraps(own)
    def same(*args: Any, **kwargs: Any) -> Any:
        return forward(*args, **kwargs)

    return same


def _folder(request: LoadRequest) -> Path | None:
    folder = request.folder / FOLDER
    return folder if (folder / CONFIG).is_file() else None


def _library(request: LoadRequest) -> Any:
    try:
        import peft
    except ImportError as error:
        version = request.manifest.versions.get("peft", "")
        raise UsageError(
            "the artifact has an adapter, and the package peft, which applies it, is not installed here: install what"
            f" requirements.txt lists (pip install peft{version and '=='}{version})."
        ) from error
    return peft
