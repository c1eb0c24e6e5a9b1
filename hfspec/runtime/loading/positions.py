"""How many tokens a loaded model can read: as many as it has absolute positions for.

A model that looks its positions up in a table ends where the table ends. A model that tells positions apart by their
distance (T5, DeBERTa, XLNet, rotary positions, ALiBi) has no such end, whatever ``max_position_embeddings`` says. The
model's modules tell which kind it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.request import LoadRequest

LARGEST_LENGTH = 10**9  # a tokenizer without a limit says 10**30
STATED = ("max_position_embeddings", "max_encoder_position_embeddings", "n_positions", "max_seq_len")


def positions(model: Any) -> int:
    """The longest input that a model, or its encoder or decoder alone, has positions for.

    Args:
        model: a model of transformers, with or without an adapter.

    Returns:
        A number of tokens, LARGEST_LENGTH where the model has no table of positions.
    """
    return min(_tables(model), default=LARGEST_LENGTH) - adapter.virtual_tokens(model)


def advised(model: Any) -> int:
    """The length that the model was made for, to which texts are cut: its positions, and no more than its config
    states.
    """
    values = (getattr(model.config, name, None) for name in STATED)
    lengths = [length for length in values if isinstance(length, int) and length > 0]
    return min([positions(model), *lengths[:1]])


def cut_length(model: Any, tokenizer: Any) -> int:
    """How many tokens a text is cut to: the tokenizer's limit, and no more than the model was made for."""
    return int(min(advised(model), tokenizer.model_max_length))


def most_tokens(request: LoadRequest, model: Any) -> int:
    """How many tokens an uncut text may have: as many as the model can read, and no more than the spec's own
    ``model_max_length`` where it sets one. The limit in a tokenizer's files is for cutting texts, and refuses none.
    """
    limit = request.manifest.deployment.options.get("tokenizer", {}).get("model_max_length", LARGEST_LENGTH)
    return int(min(positions(model), limit))


def _tables(model: Any) -> Iterator[int]:
    """How many positions each of the model's tables holds."""
    for name, module in model.named_modules():
        if _is_of_positions(name) and not hasattr(module, "make_weights") and not hasattr(module, "make_weight"):
            yield from _rows(module, model.get_submodule(name.rpartition(".")[0]))
        if hasattr(module, "build_mpt_alibi_tensor"):  # a table of distances, for so many tokens
            yield int(model.config.max_seq_len)
    for name, buffer in model.named_buffers():
        if _is_of_positions(name) and buffer.is_floating_point() and buffer.dim() == 2:
            yield int(buffer.shape[0])


def _rows(module: Any, owner: Any) -> Iterator[int]:
    """The positions in a table: its rows, without those before the first position, as far as ``owner`` counts."""
    weight: Any = getattr(module, "weight", None)
    if hasattr(module, "axial_pos_shape"):
        yield math.prod(module.axial_pos_shape)
    elif weight is not None and weight.ndim == 2 and "Embedding" in type(module).__name__:
        yield int(weight.shape[0]) - _first(module)
        counted: Any = getattr(owner, "position_ids", None)
        if counted is not None:
            yield int(counted.shape[-1])


def _first(module: Any) -> int:
    """The row of the first position: BART and OPT skip rows, RoBERTa and its kin count on from the padding's."""
    offset, padding = getattr(module, "offset", None), getattr(module, "padding_idx", None)
    if isinstance(offset, int):
        return offset
    return 0 if padding is None else int(padding) + 1


def _is_of_positions(name: str) -> bool:
    leaf = name.rpartition(".")[2]
    return leaf == "wpe" or ("pos" in leaf and "rel" not in leaf)
