"""The keys and values of the beginnings of prompts, for prompts that begin alike: a chat's system message, an earlier
turn of a conversation.

The beginnings lie in a tree: a node has the keys and values of the tokens that all prompts below it share. The leaf
whose last use is the longest ago is dropped first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfspec.runtime.generation.causal_generation import Asked

LEAST = 16  # tokens that are worth a copy
NODES = 1024  # at most, however small their keys are
# Kinds of rotary positions whose angles depend on the length of the whole prompt.
WHOLE_PROMPT = frozenset({"dynamic", "longrope"})


@dataclass(slots=True, eq=False)
class _Node:
    """A run of tokens. ``layers``: each one's keys and values, (heads, tokens, features); ``used``: its last use, by
    the cache's clock.
    """

    ids: list[int]
    layers: list[tuple[Any, Any]]
    above: _Node | None
    below: dict[int, _Node] = field(default_factory=dict)
    used: int = 0


class PrefixCache:
    """A cache of beginnings. ``most``: its bytes at most, 0 for none; ``size``: its bytes now; ``reused``: how many
    tokens of prompts the model was spared.
    """

    def __init__(self, most: int) -> None:
        self.most, self.size, self.reused = most, 0, 0
        self._top = _Node([], [], None)
        self._clock = count(1)
        self._nodes = 0

    def clear(self) -> None:
        """Drop all beginnings."""
        self._top, self.size, self._nodes = _Node([], [], None), 0, 0

    def known(self, ids: Sequence[int]) -> int:
        """How many tokens of a prompt the model need not read; it always reads the last one."""
        return min(sum(length for _, length in self._path(ids)), len(ids) - 1)

    def parts(self, prompts: Sequence[Asked]) -> list[list[Asked]]:
        """The prompts in groups to read together: those that begin like earlier ones, and the others."""
        apart = [one for one in prompts if self.known(one.prompt.ids) >= LEAST]
        others = [one for one in prompts if one not in apart]
        return [part for part in (apart, others) if part]

    def begun(self, prompts: Sequence[list[int]], rows: int) -> Any:
        """A cache of transformers, ``rows`` rows a prompt, with the columns that no prompt of a batch, padded on the
        left, needs to read; None where that is not worth it.
        """
        width = max(map(len, prompts))
        columns = width - max(len(ids) - self.known(ids) for ids in prompts)
        if columns < LEAST:
            return None
        from transformers import DynamicCache

        paths = [self._path(ids) for ids in prompts]
        pads = [width - len(ids) for ids in prompts]
        self.reused += sum(max(columns - pad, 0) for pad in pads)
        cache = DynamicCache()
        for number, pair in enumerate(next(path[0][0].layers for path in paths if path)):
            batch = [pair[0].new_zeros((len(prompts), pair[0].shape[0], columns, part.shape[-1])) for part in pair]
            for place, (path, pad) in enumerate(zip(paths, pads, strict=True)):
                first = pad
                for node, length in path:
                    last = min(first + length, columns)
                    for whole, part in zip(batch, node.layers[number], strict=True):
                        whole[place, :, first:last] = part[:, : max(last - first, 0)]
                    first = max(last, first)
            cache.update(*(whole.repeat_interleave(rows, dim=0) for whole in batch), number)
        return cache

    def keep(self, ids: Sequence[int], layers: Sequence[tuple[Any, Any]]) -> None:
        """Keep a prompt's keys and values, those of its tokens in each layer."""
        room = self.most // (sum(part[:, :1].nbytes for pair in layers for part in pair) or 1)
        ids = list(ids)[:room]
        if len(ids) < LEAST:
            return
        path = self._path(ids)
        place = sum(length for _, length in path)
        node = self._top
        if path:
            node, length = path[-1]
            if length < len(node.ids):
                node = self._split(node, length)
        if place < len(ids):
            self._add(node, ids[place:], [tuple(part[:, place : len(ids)] for part in pair) for pair in layers])
        while self.size > self.most or self._nodes > NODES:
            self._drop_oldest()

    def _path(self, ids: Sequence[int]) -> list[tuple[_Node, int]]:
        """The nodes that a prompt begins with, and how many tokens of each."""
        nodes, node, place, now = [], self._top, 0, next(self._clock)
        while place < len(ids) and (below := node.below.get(ids[place])) is not None:
            length = _common(below.ids, ids, place)
            below.used = now
            nodes.append((below, length))
            place += length
            if length < len(below.ids):
                break
            node = below
        return nodes

    def _split(self, node: _Node, length: int) -> _Node:
        """Split a node after ``length`` tokens; returns the node of the first ones, with the rest below it."""
        assert node.above is not None
        above = node.above
        self._remove(node)
        first = self._add(above, node.ids[:length], [(k[:, :length], v[:, :length]) for k, v in node.layers])
        rest = self._add(first, node.ids[length:], [(k[:, length:], v[:, length:]) for k, v in node.layers])
        rest.below = node.below
        for below in rest.below.values():
            below.above = rest
        rest.used = node.used
        return first

    def _add(self, above: _Node, ids: list[int], layers: Sequence[Any]) -> _Node:
        copies = [tuple(part.clone() for part in pair) for pair in layers]
        node = _Node(ids, copies, above, used=next(self._clock))
        above.below[ids[0]] = node
        self.size += _size(node)
        self._nodes += 1
        return node

    def _remove(self, node: _Node) -> None:
        assert node.above is not None
        del node.above.below[node.ids[0]]
        self.size -= _size(node)
        self._nodes -= 1

    def _drop_oldest(self) -> None:
        """Drop the leaf whose last use is the longest ago."""
        leaves, looked = [], [self._top]
        while looked:
            node = looked.pop()
            looked += node.below.values()
            if not node.below:
                leaves.append(node)
        self._remove(min(leaves, key=lambda leaf: leaf.used))


def _common(own: Sequence[int], ids: Sequence[int], first: int) -> int:
    """How many tokens of the run ``own`` the prompt has from ``first`` on."""
    most = min(len(own), len(ids) - first)
    return next((place for place in range(most) if own[place] != ids[first + place]), most)


def _size(node: _Node) -> int:
    return sum(part.nbytes for pair in node.layers for part in pair)


def is_cuttable(model: Any) -> bool:
    """Whether the keys of a prompt's beginning are the same whatever follows it."""
    parameters = getattr(model.config.get_text_config(decoder=True), "rope_parameters", None) or {}
    kinds = [part.get("rope_type") for part in (parameters, *parameters.values()) if isinstance(part, dict)]
    return not WHOLE_PROMPT.intersection(map(str, kinds))
