"""How many tokens a loaded model can read: as many as it has absolute positions for.

A model that looks its positions up in a table ends where the table ends. A model that tells positions apart by their
distance (T5, DeBERTa, XLNet, rotary positions, ALiBi) has no such end, whatever ``max_position_embeddings`` says. The
modules of the model tell which of the two it is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.request import LoadRequest

LARGEST_LENGTH = 10**9  # a tokenizer without a limit says 10**30
STATED = ("max_position_embeddings", "max_encoder_position_embeddings", "n_positions", "max_seq_len")


def positions(loaded: Any) -> int:
    """The longest input that a model, or its encoder or decoder alone, has positions for.

    Args:
        loaded: a model of transformers, with or without an adapter.

    Returns:
        A number of tokens, LARGEST_LENGTH where the model has no table of positions.
    """
    return min(_tables(loaded), default=LARGEST_LENGTH) - adapter.virtual_tokens(loaded)


def advised(loaded: Any) -> int:
    """The length that the model was made for: its positions, and for a model that has no end of them what its config
    says. Texts that are to be cut are cut to it.
    """
    stated = (getattr(loaded.config, name, None) for name in STATED)
    lengths = [found for found in stated if isinstance(found, int) and found > 0]
    return min([positions(loaded), *lengths[:1]])


def cut_length(loaded: Any, tokenizer: Any) -> int:
    """How many tokens are left of a text that is cut: what the tokenizer says, as far as the model was made for it."""
    return int(min(advised(loaded), tokenizer.model_max_length))


def most_tokens(request: LoadRequest, loaded: Any) -> int:
    """How many tokens a text may have that is not cut: what the model can read, and no more than the spec's own
    ``model_max_length`` where it sets one. The limit that a tokenizer was stored with says where texts are cut and
    refuses none.
    """
    stated = request.manifest.deployment.options.get("tokenizer", {}).get("model_max_length", LARGEST_LENGTH)
    return int(min(positions(loaded), stated))


def _tables(loaded: Any) -> Iterator[int]:
    """How many positions each of the model's tables holds."""
    for name, module in loaded.named_modules():
        if _is_of_positions(name) and not hasattr(module, "make_weights") and not hasattr(module, "make_weight"):
            yield from _rows(module, loaded.get_submodule(name.rpartition(".")[0]))
        if hasattr(module, "build_mpt_alibi_tensor"):  # a table of distances, made for so many tokens
            yield int(loaded.config.max_seq_len)
    for name, buffer in loaded.named_buffers():
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
    """The row of the first position: BART and OPT leave rows out, RoBERTa and its kin count from the padding's on."""
    offset, padding = getattr(module, "offset", None), getattr(module, "padding_idx", None)
    if isinstance(offset, int):
        return offset
    return 0 if padding is None else int(padding) + 1


def _is_of_positions(name: str) -> bool:
    leaf = name.rpartition(".")[2]
    return leaf == "wpe" or ("pos" in leaf and "rel" not in leaf)
