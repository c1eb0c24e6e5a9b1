"""The encoder's pass over a batch on a CPU, in groups of texts of about the same length.

A batch is as wide as its longest text, and an encoder computes all of it: in a batch of 8 texts of 8 to 77 tokens two
thirds are padding. The decoder then takes its steps for all texts at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hfspec.runtime.scheduling.partition import partition


def encoded(model: Any, inputs: Mapping[str, Any], device: str) -> dict[str, Any]:
    """Arguments of generate() beside ``inputs``, the ids and the mask of texts that are padded on the right; none where
    generate() had better encode them itself.
    """
    lengths = inputs["attention_mask"].sum(dim=1).tolist()
    groups = grouped(lengths)
    if device != "cpu" or len(groups) < 2:
        return {}
    encoder, joint = model.get_encoder(), None
    for places in groups:
        width = max(lengths[place] for place in places)
        output = encoder(**{name: value[places, :width] for name, value in inputs.items()}, return_dict=True)
        states = output.last_hidden_state
        if joint is None:
            joint = states.new_zeros((*inputs["input_ids"].shape, states.shape[-1]))
        joint[places, :width] = states
    return {"encoder_outputs": type(output)(last_hidden_state=joint)}


def grouped(lengths: Sequence[int]) -> list[list[int]]:
    """The places of ``lengths`` in groups whose tokens, padding and what each pass takes counted, are fewest."""
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    return [[order[number] for number in group] for group in partition([lengths[place] for place in order])]
