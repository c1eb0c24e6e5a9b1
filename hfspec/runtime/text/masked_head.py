"""A masked-language model's scores at the masks alone.

The head over the vocabulary costs about as much a token as half of a small encoder, and its answers for a batch take
more memory than the batch; the task asks for those at the masks alone. Most models compute them last, in one layer that
sees each token alone, but no config says so: the model is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Any, TypeAlias

Places: TypeAlias = tuple[Any, Any]  # tensors of rows and of columns, as many as there are places

# The shape (rows, tokens), and the places whose hidden vectors the head gets; each thread's call has its own.
_KEPT: ContextVar[tuple[Any, Places] | None] = ContextVar("kept", default=None)
TOLERANCE = 1e-2  # relative to the largest score; another layer's answers would be off by far more


class MaskedHead:
    """The head of one loaded model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        layer = model.get_output_embeddings()
        if layer is not None:
            layer.register_forward_pre_hook(_keep)

    def logits(self, inputs: Mapping[str, Any], places: Places) -> Any:
        """Scores (places, vocabulary). Places are numbers: a mask would have to wait for a GPU to count it."""
        return self._at_places(inputs, places) if self._sees_tokens_alone else self._whole(inputs, places)

    @cached_property
    def _sees_tokens_alone(self) -> bool:
        """Whether the last layer may be given some of the tokens; tried on two tokens of a text without meaning."""
        import torch

        if self._model.get_output_embeddings() is None:
            return False
        ids = torch.arange(1, 7, device=self._model.device).reshape(1, 6)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        places = torch.tensor([0, 0], device=ids.device), torch.tensor([1, 4], device=ids.device)
        expected = self._whole(inputs, places)
        try:
            scores = self._at_places(inputs, places)
        except (IndexError, RuntimeError, ValueError):
            return False
        if scores.shape != expected.shape:
            return False
        return bool((scores - expected).abs().max() <= TOLERANCE * expected.abs().max())

    def _whole(self, inputs: Mapping[str, Any], places: Places) -> Any:
        return self._model(**inputs).logits[places]

    def _at_places(self, inputs: Mapping[str, Any], places: Places) -> Any:
        token = _KEPT.set((inputs["input_ids"].shape, places))
        try:
            return self._model(**inputs).logits
        finally:
            _KEPT.reset(token)


def _keep(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    choice = _KEPT.get()
    if choice is None:
        return None
    shape, places = choice
    if arguments[0].shape[:2] != shape:
        raise IndexError(f"hidden vectors of shape {tuple(arguments[0].shape)}, not (rows, tokens, hidden)")
    return (arguments[0][places], *arguments[1:])
