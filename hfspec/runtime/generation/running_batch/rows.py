"""The rows of a running batch between its steps: one cache of keys and values, one mask, padded on the left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hfspec.runtime.generation.decoding import CACHE

MASK, POSITIONS = "attention_mask", "position_ids"
MARGIN = 32  # columns of padding that all rows have, before they are cut off


@dataclass(slots=True)
class RunningRows:
    """The inputs of the model for all rows beside their last tokens, which it has not read. ``more``: its inputs that
    are no rows.
    """

    cache: Any
    mask: Any
    positions: Any
    more: Mapping[str, Any]

    @classmethod
    def of(cls, inputs: Mapping[str, Any]) -> RunningRows:
        """The rows of the inputs of a model's next step."""
        more = {name: value for name, value in inputs.items() if name not in {CACHE, MASK, POSITIONS}}
        positions = inputs.get(POSITIONS)
        return cls(inputs[CACHE], inputs[MASK], None if positions is None else positions[..., -1:], more)

    @property
    def width(self) -> int:
        """How many tokens of each row the cache has, padding included."""
        return int(self.mask.shape[-1]) - 1

    def scores(self, model: Any, last: Any) -> Any:
        """The model's scores after each row's last token, (rows, vocabulary); the cache takes that token."""
        inputs = {**self.more, CACHE: self.cache, MASK: self.mask, "use_cache": True}
        if self.positions is not None:
            inputs[POSITIONS] = self.positions
        ready = model.prepare_inputs_for_generation(last, next_sequence_length=1, **inputs)
        return model(**ready, return_dict=True).logits[:, -1].float()

    def add(self, new: RunningRows) -> None:
        """Put other rows below these."""
        import torch

        length = max(self.mask.shape[-1], new.mask.shape[-1])
        for mine, other in zip(self.cache.layers, new.cache.layers, strict=True):
            mine.keys = torch.cat([_wide(mine.keys, length - 1), _wide(other.keys, length - 1)])
            mine.values = torch.cat([_wide(mine.values, length - 1), _wide(other.values, length - 1)])
        self.mask = torch.cat([_pad_left(self.mask, length), _pad_left(new.mask, length)])
        if new.positions is not None:
            self.positions = torch.cat([self.positions, new.positions])
        self.more = new.more

    def lengthen(self) -> None:
        """Count the token that each row has got."""
        import torch

        self.mask = torch.cat([self.mask, self.mask.new_ones((len(self.mask), 1))], dim=-1)
        if self.positions is not None:
            self.positions = self.positions + 1

    def select(self, indexes: Any) -> None:
        """Keep these rows alone."""
        self.cache.batch_select_indices(indexes)
        self.mask = self.mask[indexes]
        if self.positions is not None:
            self.positions = self.positions[indexes]
        unused = int(self.mask.any(dim=0).int().argmax())
        if unused >= MARGIN:
            self.mask = self.mask[:, unused:]
            for layer in self.cache.layers:
                layer.keys, layer.values = layer.keys[..., unused:, :], layer.values[..., unused:, :]

    def copied(self, indexes: list[int]) -> RunningRows:
        """A copy of some rows; a pass that failed may have written more than their tokens into some layers."""
        from transformers import DynamicCache

        cache = DynamicCache()
        for number, layer in enumerate(self.cache.layers):
            keys, values = (tensor[indexes][..., : self.width, :] for tensor in (layer.keys, layer.values))
            cache.update(keys, values, number)
        positions = None if self.positions is None else self.positions[indexes]
        return replace(self, cache=cache, mask=self.mask[indexes], positions=positions)

    def take_back(self, parts: Sequence[tuple[list[int], RunningRows]]) -> None:
        """Write copies, each of these rows, back into the cache after the model has read their last tokens."""
        for number, layer in enumerate(self.cache.layers):
            pair = [
                _wide(values[..., : self.width, :], self.width + 1).clone() for values in (layer.keys, layer.values)
            ]
            for indexes, part in parts:
                read = part.cache.layers[number]
                for whole, values in zip(pair, (read.keys, read.values), strict=True):
                    whole[indexes] = values
            layer.keys, layer.values = pair


def _wide(values: Any, length: int) -> Any:
    """(rows, heads, ``length``, features): zeros before the values."""
    missing = length - values.shape[-2]
    if missing <= 0:
        return values
    import torch

    return torch.nn.functional.pad(values, (0, 0, missing, 0))


def _pad_left(mask: Any, length: int) -> Any:
    """(rows, ``length``): zeros before the mask."""
    import torch

    return torch.nn.functional.pad(mask, (length - mask.shape[-1], 0))
