"""Attention masks built without a wait for the GPU.

Where no token is masked transformers makes no mask, for which torch has faster kernels; to know, it reads the mask
(transformers/masking_utils.py, _ignore_bidirectional_mask_sdpa and _ignore_causal_mask_sdpa), so that at the beginning
of every forward pass the host waits for all that was launched before. The code that padded the batch knows it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hfspec.runtime.patches.states import State, States, hindrance
from hfspec.runtime.patches.table import MASKS
from hfspec.runtime.patches.trial import tried

if TYPE_CHECKING:
    from hfspec.runtime.loading.request import LoadRequest

MASK = "attention_mask"
SDPA, UNASKED = "sdpa", "sdpa_unasked"  # names of attention functions
# Whether the mask of the model's current call masks nothing; each thread's call has its own.
_IS_WHOLE: ContextVar[bool] = ContextVar("is_whole", default=False)


def mark(mask: Any, *, is_whole: bool) -> None:
    """Note on a mask whether it masks nothing, which the host knows."""
    mask.is_whole = is_whole


def is_whole(mask: Any) -> bool:
    """Whether the mask is marked to mask nothing; None is no mask."""
    return bool(getattr(mask, "is_whole", False))


def put(model: Any, request: LoadRequest) -> States:
    """Have a model of transformers' own on a GPU make its masks without a wait, unless the trial fails."""
    if request.device.startswith("cuda") and "model" not in request.code:
        return try_on(model, request)
    return {}


def try_on(model: Any, request: LoadRequest) -> States:
    """Have the model make its masks without a wait on any device. Models whose attention is not the common one of
    transformers stay as they are, and so do those whose masks are not of tokens or samples.
    """
    if getattr(model.config, "_attn_implementation", None) != SDPA:
        return {}
    hindered = hindrance(request.patches, MASKS)
    if hindered is not None:
        return {MASKS: hindered}
    inputs = _inputs(model, request)
    if inputs is None:
        return {MASKS: State(on=False, why="Its input has no mask.")}
    hooks: list[Any] = []

    def patched() -> list[Any]:
        hooks.extend(_replace(model))
        return _answers(model, inputs)

    state = tried(MASKS, request.dtype, lambda: _answers(model, inputs), patched)
    if not state.on:
        for hook in hooks:
            hook.remove()
        model.set_attn_implementation(SDPA)
    return {MASKS: state}


def _replace(model: Any) -> list[Any]:
    """Put the masks on the model; returns the handles that take the hooks off again."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(UNASKED, sdpa_attention_forward)
    AttentionMaskInterface.register(UNASKED, _mask)
    model.set_attn_implementation(UNASKED)
    return [
        model.register_forward_pre_hook(_enter, with_kwargs=True),
        model.register_forward_hook(_leave, always_call=True),
    ]


def _inputs(model: Any, request: LoadRequest) -> list[dict[str, Any]] | None:
    """Two rows without padding, and the same with some in the second; None for a model that reads something else."""
    import torch

    name = model.main_input_name
    if name == "input_ids":
        size = int(model.config.get_text_config().vocab_size)
        rows = torch.arange(16).view(2, 8) % max(1, size - 5) + min(4, size - 1)
        end = getattr(model.config, "eos_token_id", None)
        if isinstance(end, int) and 0 <= end < size:  # BART's classifier reads the state of the token that ends a row
            rows[rows == end] = 0 if end else 1
            rows[:, -1] = end
    elif name == "input_values":
        rows = torch.linspace(-9, 9, 8000).sin().view(2, 4000).to(getattr(torch, request.dtype))
    else:
        return None
    whole = torch.ones(rows.shape, dtype=torch.long)
    part = whole.clone()
    part[1, rows.shape[1] // 2 :] = 0
    batches = []
    for padding in (whole, part):
        batch = {name: rows.to(request.device), MASK: padding.to(request.device)}
        mark(batch[MASK], is_whole=padding is whole)
        batches.append(batch)
    return batches


def _answers(model: Any, inputs: list[dict[str, Any]]) -> list[Any]:
    """The answers to both rows without padding, and to the first beside a second with padding."""
    first, second = (model(**batch, return_dict=True)[0] for batch in inputs)
    return [first, second[:1]]


def _mask(*sizes: Any, attention_mask: Any = None, **options: Any) -> Any:
    """The mask of transformers; None where it makes none."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None or _IS_WHOLE.get():
        return sdpa_mask(*sizes, attention_mask=None, **options)
    skips = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(*sizes, attention_mask=attention_mask, **{**options, **skips})


def _enter(_: Any, __: tuple[Any, ...], inputs: Mapping[str, Any]) -> None:
    _IS_WHOLE.set(is_whole(inputs.get(MASK)))


def _leave(*_: Any) -> None:
    _IS_WHOLE.set(False)
