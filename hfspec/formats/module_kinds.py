"""The one list of the modules of sentence-transformers: which hfspec runs, and what each says of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class ModuleKind:
    """A class of modules, named as the last part of its ``type`` in modules.json."""

    is_run: bool = True
    """Whether hfspec runs models that have it."""
    only_in: str | None = None
    """The one kind of model that has it (dense, sparse, cross-encoder, multi-vector); None where several have it."""
    has_weights: bool = False
    """Whether it has weights of its own in its folder, beside those of the model."""
    with_model: bool = True
    """Whether it is a model of transformers, or comes after one."""


MODULE_KINDS: Mapping[str, ModuleKind] = MappingProxyType(
    {
        "Transformer": ModuleKind(),
        "Pooling": ModuleKind(),
        "Dense": ModuleKind(has_weights=True),
        "LayerNorm": ModuleKind(has_weights=True),
        "Normalize": ModuleKind(),
        "Dropout": ModuleKind(),
        "MLMTransformer": ModuleKind(only_in="sparse"),
        "SpladePooling": ModuleKind(only_in="sparse"),
        "SparseAutoEncoder": ModuleKind(is_run=False, only_in="sparse"),
        "SparseStaticEmbedding": ModuleKind(is_run=False, only_in="sparse", with_model=False),
        "LogitScore": ModuleKind(is_run=False, only_in="cross-encoder"),
        "MultiVectorMask": ModuleKind(is_run=False, only_in="multi-vector", with_model=False),
    }
)
RUN = frozenset(name for name, kind in MODULE_KINDS.items() if kind.is_run)
# The kinds of a dense model, in the order that messages list them.
DENSE = tuple(name for name, kind in MODULE_KINDS.items() if kind.is_run and kind.only_in is None)
WEIGHTED = frozenset(name for name, kind in MODULE_KINDS.items() if kind.has_weights)
WITH_A_MODEL = frozenset(name for name, kind in MODULE_KINDS.items() if kind.with_model)
