"""Which sequences may share a batch, so that none gets another answer than alone.

Most models hide padding behind an attention mask. Some do not, by their nature (convolutions over tokens, Fourier
transforms, pooled sequences) or in some setting of theirs, and no config says so: the model is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from hfspec.ir.dtypes import arithmetic_of
from hfspec.runtime.text.token_batch import padded
from hfspec.runtime.text.tokens import Tokens, encode

SHORT, LONG = "a " * 9, "one two three " * 9


class Padding:
    """The padding of one loaded model. ``fill``: model input -> the value that fills it up."""

    def __init__(self, model: Any, tokenizer: Any, fill: dict[str, int], limit: int) -> None:
        self.model, self.tokenizer, self.fill, self.limit = model, tokenizer, fill, limit

    def groups(self, sequences: Sequence[Tokens]) -> list[int]:
        """The group of each sequence: its length where padding would be seen, else the same for all."""
        lengths = [len(tokens["input_ids"]) for tokens in sequences]
        return lengths if len(set(lengths)) > 1 and self.is_seen else [0] * len(lengths)

    @cached_property
    def is_seen(self) -> bool:
        """Whether the answer to a sequence changes when padding follows it. Assumed without a trial where no mask says
        which tokens are padding, and where the tokenizer would pad on the left.
        """
        short, long = (
            {name: values[: self.limit] for name, values in tokens.items()}
            for tokens in encode(self.tokenizer, [SHORT, LONG])
        )
        if "attention_mask" not in short or self.tokenizer.padding_side == "left":
            return True
        length = len(short["input_ids"])
        alone, beside = self._answer([short]), self._answer([short, long])
        if beside.ndim > 2:  # an answer for each token; otherwise one for the sequence
            alone, beside = alone[:, :length], beside[:, :length]
        difference = float((alone[0] - beside[0]).abs().max() / alone[0].abs().max().clamp(min=1e-6))
        return not difference <= arithmetic_of(str(self.model.dtype).removeprefix("torch.")).rounding

    def _answer(self, sequences: Sequence[Tokens]) -> Any:
        import torch

        with torch.inference_mode():
            answer = self.model(**padded(sequences, self.fill, "right", str(self.model.device)))[0]
        return answer.float().cpu()


class KnownPadding(Padding):
    """The padding of a model that need not be tried: the caller knows whether it sees padding."""

    def __init__(self, *, is_seen: bool) -> None:
        vars(self)["is_seen"] = is_seen
