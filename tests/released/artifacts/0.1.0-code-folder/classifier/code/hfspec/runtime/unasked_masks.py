"""Attention masks that a GPU is not asked about.

Where no token is masked the library makes no mask, for which torch has faster kernels; to know, it reads the mask
(transformers/masking_utils.py, _ignore_bidirectional_mask_sdpa and _ignore_causal_mask_sdpa), so that at the beginning
of every forward pass the host waits for all that was launched before. Who padded the batch knows it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfspec.runtime.family import Place

MASK = "attention_mask"
LIBRARYS, OURS = "sdpa", "sdpa_unasked"  # names of what computes attention
# Whether the model is being called with a mask that is known to mask nothing; of its own for each thread's call.
_IS_WHOLE: ContextVar[bool] = ContextVar("is_whole", default=False)


def mark(mask: Any, *, is_whole: bool) -> None:
    """Say of a mask what the host knows of it: whether it masks nothing."""
    mask.is_whole = is_whole


def is_whole(mask: Any) -> bool:
    """Whether the mask is known to mask nothing; None is no mask."""
    return bool(getattr(mask, "is_whole", False))


def put(loaded: Any, place: Place) -> None:
    """Have the model, where it is the library's own on a GPU, make its masks so. Its answers stay what they are."""
    if place.device.startswith("cuda") and "model" not in place.code:
        replace(loaded)


def replace(loaded: Any) -> None:
    """Models that compute attention in another way than the library's common one are left alone."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if getattr(loaded.config, "_attn_implementation", None) != LIBRARYS:
        return
    AttentionInterface.register(OURS, sdpa_attention_forward)
    AttentionMaskInterface.register(OURS, _mask)
    loaded.set_attn_implementation(OURS)
    loaded.register_forward_pre_hook(_enter, with_kwargs=True)
    loaded.register_forward_hook(_leave, always_call=True)


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
