"""A masked-language model's scores at the masks alone.

The head over the vocabulary costs about as much a token as half of a small encoder, and its answers for a batch take
more memory than the batch; of all of them only those at the masks are asked for. Most models compute them last, in one
layer that sees each token alone, but no config says so: the model is tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from functools import cached_property
from typing import Any

# Where the hidden vectors are kept, (rows, tokens) of bool; a context of its own for each thread's call.
_KEPT: ContextVar[Any] = ContextVar("kept", default=None)
TOLERANCE = 1e-2  # of the largest score; another layer's answers would be off by far more


class MaskedHead:
    """The head of one loaded model."""

    def __init__(self, model: Any) -> None:
        self._model = model
        layer = model.get_output_embeddings()
        if layer is not None:
            layer.register_forward_pre_hook(_keep)

    def logits(self, inputs: Mapping[str, Any], places: Any) -> Any:
        """Scores (places, vocabulary) where ``places``, (rows, tokens) of bool, is true; row by row, left to right."""
        return self._kept(inputs, places) if self._sees_tokens_alone else self._whole(inputs, places)

    @cached_property
    def _sees_tokens_alone(self) -> bool:
        """Whether the last layer may be given some of the tokens; tried on two tokens of a text without meaning."""
        import torch

        if self._model.get_output_embeddings() is None:
            return False
        ids = torch.arange(1, 7, device=self._model.device).reshape(1, 6)
        inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        places = torch.tensor([[False, True, False, False, True, False]], device=ids.device)
        expected = self._whole(inputs, places)
        try:
            found = self._kept(inputs, places)
        except (IndexError, RuntimeError, ValueError):
            return False
        if found.shape != expected.shape:
            return False
        return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())

    def _whole(self, inputs: Mapping[str, Any], places: Any) -> Any:
        return self._model(**inputs).logits[places]

    def _kept(self, inputs: Mapping[str, Any], places: Any) -> Any:
        token = _KEPT.set(places)
        try:
            return self._model(**inputs).logits
        finally:
            _KEPT.reset(token)


def _keep(_: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
    places = _KEPT.get()
    return None if places is None else (arguments[0][places], *arguments[1:])
