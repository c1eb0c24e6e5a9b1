"""Attention masks that a GPU is not asked about.

Where no token is masked the library makes no mask, for which torch has faster kernels; to know, it reads the mask
(transformers/masking_utils.py, _ignore_bidirectional_mask_sdpa and _ignore_causal_mask_sdpa), so that at the beginning
of every forward pass the host waits for all that was launched before. Who padded the batch knows it already.
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
SDPA, UNASKED = "sdpa", "sdpa_unasked"  # names of what computes attention
# Whether the model is being called with a mask that is known to mask nothing; of its own for each thread's call.
_IS_WHOLE: ContextVar[bool] = ContextVar("is_whole", default=False)


def mark(mask: Any, *, is_whole: bool) -> None:
    """Say of a mask what the host knows of it: whether it masks nothing."""
    mask.is_whole = is_whole


def is_whole(mask: Any) -> bool:
    """Whether the mask is known to mask nothing; None is no mask."""
    return bool(getattr(mask, "is_whole", False))


def put(loaded: Any, request: LoadRequest) -> States:
    """Have the model, where it is the library's own on a GPU, make its masks so, unless the trial fails."""
    if request.device.startswith("cuda") and "model" not in request.code:
        return try_on(loaded, request)
    return {}


def try_on(loaded: Any, request: LoadRequest) -> States:
    """The same on any device. Models that compute attention in another way than the library's common one are left
    alone, and so are those whose masks are not of tokens or samples.
    """
    if getattr(loaded.config, "_attn_implementation", None) != SDPA:
        return {}
    hindered = hindrance(request.patches, MASKS)
    if hindered is not None:
        return {MASKS: hindered}
    inputs = _inputs(loaded, request)
    if inputs is None:
        return {MASKS: State(on=False, why="Its input has no mask.")}
    hooks: list[Any] = []

    def patched() -> list[Any]:
        hooks.extend(_replace(loaded))
        return _answers(loaded, inputs)

    state = tried(MASKS, request.dtype, lambda: _answers(loaded, inputs), patched)
    if not state.on:
        for hook in hooks:
            hook.remove()
        loaded.set_attn_implementation(SDPA)
    return {MASKS: state}


def _replace(loaded: Any) -> list[Any]:
    """Put the masks on the model; what takes the hooks off again."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    AttentionInterface.register(UNASKED, sdpa_attention_forward)
    AttentionMaskInterface.register(UNASKED, _mask)
    loaded.set_attn_implementation(UNASKED)
    return [
        loaded.register_forward_pre_hook(_enter, with_kwargs=True),
        loaded.register_forward_hook(_leave, always_call=True),
    ]


def _inputs(loaded: Any, request: LoadRequest) -> list[dict[str, Any]] | None:
    """Two rows without padding, and the same with some in the second; None of a model that reads something else."""
    import torch

    name = loaded.main_input_name
    if name == "input_ids":
        size = int(loaded.config.get_text_config().vocab_size)
        rows = torch.arange(16).view(2, 8) % max(1, size - 5) + min(4, size - 1)
        end = getattr(loaded.config, "eos_token_id", None)
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
    made = []
    for padding in (whole, part):
        given = {name: rows.to(request.device), MASK: padding.to(request.device)}
        mark(given[MASK], is_whole=padding is whole)
        made.append(given)
    return made


def _answers(loaded: Any, inputs: list[dict[str, Any]]) -> list[Any]:
    """The first row's, and of rows without padding the second's."""
    first, second = (loaded(**given, return_dict=True)[0] for given in inputs)
    return [first, second[:1]]


def _mask(*sizes: Any, attention_mask: Any = None, **options: Any) -> Any:
    """The library's mask; None where it makes none."""
    from transformers.masking_utils import sdpa_mask

    if attention_mask is None or _IS_WHOLE.get():
        return sdpa_mask(*sizes, attention_mask=None, **options)
    asked = {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    return sdpa_mask(*sizes, attention_mask=attention_mask, **{**options, **asked})


def _enter(_: Any, __: tuple[Any, ...], inputs: Mapping[str, Any]) -> None:
    _IS_WHOLE.set(is_whole(inputs.get(MASK)))


def _leave(*_: Any) -> None:
    _IS_WHOLE.set(False)
