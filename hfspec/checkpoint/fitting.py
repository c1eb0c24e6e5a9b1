"""A checkpoint, and the adapter on it, put into the class that is to run it: shapes alone, no weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from hfspec.checkpoint.adapters.adapted import Pair
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.fit import Fit, Shapes, fit, shapes
from hfspec.checkpoint.weights.saving import UNCHANGED
from hfspec.checkpoint.weights.weight_files import WeightGroup
from hfspec.ir.plan import TensorMove
from hfspec.tasks.task import Task


@dataclass(frozen=True, slots=True)
class Fitted:
    """``fit``: None for a model that is not looked into. ``labels``: how many the adapter's head tells apart, where
    config.json says another number. ``changes``: the tensors that a merged adapter puts in place of the checkpoint's.
    """

    fit: Fit | None
    labels: int | None = None
    notes: tuple[str, ...] = ()
    changes: Mapping[str, TensorMove] = UNCHANGED


def fitted(
    files: SourceFiles, model_class: type[Any], config: Any, group: WeightGroup, dtype: str, *, pair: Pair | None
) -> Fitted:
    """How the weights fit the class under ``config``, which gets the labels of an adapter's head, and how the adapter
    fits. Raises SpecError when the class cannot be made of that config, or the adapter does not fit.
    """
    load = partial(_shapes, files, model_class, config, group, dtype)
    if pair is None:
        return Fitted(fit(load()))
    return _with_adapter(load, config, group, dtype, pair)


def needed(task: Task, found: Fit) -> tuple[Fit, tuple[str, ...]]:
    """The fit without the tensors whose lack does no harm to this task, and the names of these: the encoder's own
    pooler is no part of what is read off it, the hidden states of the tokens.
    """
    encodes = task.kind == "dense" or task.auto_class == "AutoModel"
    pooler = tuple(name for name in found.missing if encodes and name.startswith("pooler."))
    return replace(found, missing=tuple(name for name in found.missing if name not in pooler)), pooler


def _with_adapter(load: Callable[[], Shapes], config: Any, group: WeightGroup, dtype: str, pair: Pair) -> Fitted:
    loaded = load()
    labels = pair.labels(loaded, config)
    if labels is not None:
        config.num_labels = labels
        loaded = load()
    found = fit(loaded)
    adapted = pair.fitted(loaded, found.vocabulary, group, dtype)
    return Fitted(pair.without_brought(found), labels, adapted.notes, adapted.changes)


def _shapes(files: SourceFiles, model_class: type[Any], config: Any, group: WeightGroup, dtype: str) -> Shapes:
    try:
        return shapes(model_class, config, group.tensors, dtype)
    except Exception as error:  # an architecture may raise anything over a config that makes no sense
        reason = " ".join(str(error).split())
        raise files.refusal(
            "broken-checkpoint", f"the library cannot make a {model_class.__name__} of the checkpoint: {reason}"
        ) from error
