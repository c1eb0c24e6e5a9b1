"""An encoder's last layer for the first token of each row alone, where nothing else of its answer is read.

The head of a classifier, and embeddings that are the vector of the first token, read one vector of each row. The last
layer's keys and values are made of all tokens, and the rest of it, ten of twelve parts of its products, of that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

# Of each class that hands out or reads nothing but its layers' answers: where its layers are.
LAYERS = {
    "BertModel": "encoder.layer",
    "BertForSequenceClassification": "bert.encoder.layer",
    "CamembertModel": "encoder.layer",
    "CamembertForSequenceClassification": "roberta.encoder.layer",
    "DistilBertModel": "transformer.layer",
    "DistilBertForSequenceClassification": "distilbert.transformer.layer",
    "ElectraModel": "encoder.layer",
    "ElectraForSequenceClassification": "electra.encoder.layer",
    "RobertaModel": "encoder.layer",
    "RobertaForSequenceClassification": "roberta.encoder.layer",
    "XLMRobertaModel": "encoder.layer",
    "XLMRobertaForSequenceClassification": "roberta.encoder.layer",
}
# What a layer is told besides, without effect on its answer; the embeddings have read it.
IGNORED = frozenset({"position_ids", "token_type_ids", "use_cache"})
# Whether this thread's call reads the first token alone.
_ASKED: ContextVar[bool] = ContextVar("asked", default=False)


@contextmanager
def first_token_alone() -> Iterator[None]:
    """Of a model that was ``put``, the last hidden states are (rows, 1, width) in the block; others answer as ever."""
    token = _ASKED.set(True)
    try:
        yield
    finally:
        _ASKED.reset(token)


def put(loaded: Any) -> Any:
    """The model, its last layer replaced in place where its architecture is known."""
    path = LAYERS.get(type(loaded).__name__) if _is_librarys(loaded) else None
    if path is not None and loaded.config._attn_implementation == "sdpa":  # noqa: SLF001 - the library's name of it
        last = loaded.get_submodule(path)[-1]
        if not getattr(last, "is_decoder", False):
            kind: Any = type(last)
            last.__class__ = _replaced(kind)
    return loaded


def _is_librarys(module: Any) -> bool:
    return type(module).__module__.startswith("transformers.models.")


@cache
def _replaced(kind: Any) -> Any:
    mixin = _DistilBert if kind.__name__ == "TransformerBlock" else _Bert
    return type(kind.__name__, (mixin, kind), {})


class _LastLayer:
    """A layer that answers for the first token when it is asked to, and else as the library's own, which its copies
    are.
    """

    def forward(self, hidden_states: Any, attention_mask: Any = None, *others: Any, **options: Any) -> Any:
        if not self._may(attention_mask, others, options):
            return super().forward(hidden_states, attention_mask, *others, **options)  # type: ignore[misc]
        mask = attention_mask if attention_mask is None else attention_mask[:, :, :1]
        return self.of_first(hidden_states, hidden_states[:, :1].contiguous(), mask)

    def _may(self, mask: Any, others: tuple[Any, ...], options: dict[str, Any]) -> bool:
        import torch

        told = [*others, *(value for name, value in options.items() if name not in IGNORED)]
        plain = all(value is None or value is False for value in told) and (mask is None or mask.ndim == 4)
        own = plain and _ASKED.get() and all(map(_is_as_made, self.passed_by()))
        return own and not torch.is_grad_enabled()

    def passed_by(self) -> tuple[Any, ...]:
        """The modules of the library whose layers are called, and they are not."""
        raise NotImplementedError

    def of_first(self, hidden: Any, first: Any, mask: Any) -> Any:
        """(rows, 1, width) of ``hidden`` (rows, tokens, width) and the first tokens of it, with a mask that says what
        they see, (rows, 1, 1, tokens), or None.
        """
        raise NotImplementedError

    def __reduce_ex__(self, protocol: Any) -> Any:
        made: Any = super().__reduce_ex__(protocol)
        return (object.__new__, (type(self).__bases__[1],), *made[2:])


class _Bert(_LastLayer):
    attention: Any
    feed_forward_chunk: Any

    def passed_by(self) -> tuple[Any, ...]:
        return (self.attention, self.attention.self)

    def of_first(self, hidden: Any, first: Any, mask: Any) -> Any:
        own = self.attention.self
        seen = _attended(own, own.query(first), own.key(hidden), own.value(hidden), mask)
        return self.feed_forward_chunk(self.attention.output(seen, first))


class _DistilBert(_LastLayer):
    attention: Any
    sa_layer_norm: Any
    ffn: Any
    output_layer_norm: Any

    def passed_by(self) -> tuple[Any, ...]:
        return (self.attention,)

    def of_first(self, hidden: Any, first: Any, mask: Any) -> Any:
        own = self.attention
        seen = _attended(own, own.q_lin(first), own.k_lin(hidden), own.v_lin(hidden), mask)
        read = self.sa_layer_norm(own.out_lin(seen) + first)
        return self.output_layer_norm(self.ffn(read) + read)


def _is_as_made(module: Any) -> bool:
    """Whether it is the library's, with nothing that wants to be called with it."""
    hooks = module._forward_hooks or module._forward_pre_hooks  # noqa: SLF001 - torch's
    return _is_librarys(module) and not hooks and "forward" not in module.__dict__


def _attended(own: Any, query: Any, key: Any, value: Any, mask: Any) -> Any:
    from torch.nn.functional import scaled_dot_product_attention

    query, key, value = (
        made.unflatten(-1, (-1, own.attention_head_size)).transpose(1, 2) for made in (query, key, value)
    )
    seen = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=own.scaling)
    return seen.transpose(1, 2).flatten(2)
