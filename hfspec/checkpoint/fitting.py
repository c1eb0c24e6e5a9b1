"""A checkpoint, and the adapter on it, put into the class that is to run it: shapes alone, no weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hfspec.checkpoint.adapters.adapted import Pair
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.fit import Fit, MetaModel, fit, meta_model
from hfspec.checkpoint.weights.weight_files import WeightGroup
from hfspec.tasks.task import Task


def fit_weights(
    files: SourceFiles, model_class: type[Any], config: Any, weights: WeightGroup, dtype: str, *, pair: Pair | None
) -> Fit:
    """How the weights fit the class, and the adapter the model.

    Args:
        files: The model's source, for the problems found in it.
        model_class: A class of transformers.
        config: The library's config; it gets the number of labels of an adapter's head.
        weights: The model's weight files.
        dtype: Torch's name of the dtype of the deployment.
        pair: The model with its adapter, None where the spec puts none on it.

    Returns:
        The fit, of the model with the adapter where there is one.

    Raises:
        SpecError: Where the class cannot be made of that config, or the adapter does not fit.
    """
    meta = _meta_model(files, model_class, config, weights, dtype)
    if pair is None:
        return fit(meta)
    labels = pair.labels(meta, config)
    if labels is not None:
        config.num_labels = labels
        meta = _meta_model(files, model_class, config, weights, dtype)
    return replace(pair.fit(meta, fit(meta), weights, dtype), labels=labels)


def needed(task: Task, whole: Fit) -> tuple[Fit, tuple[str, ...]]:
    """The fit without the tensors whose lack does no harm to the task: the encoder's own pooler is no part of what is
    read off it, the hidden states of the tokens.

    Args:
        task: What the model is to do.
        whole: How all of its tensors fit.

    Returns:
        The fit that counts, and the names of the tensors that it leaves out.
    """
    encodes = task.kind == "dense" or task.auto_class == "AutoModel"
    pooler = tuple(name for name in whole.missing if encodes and name.startswith("pooler."))
    return replace(whole, missing=tuple(name for name in whole.missing if name not in pooler)), pooler


def _meta_model(files: SourceFiles, model_class: type[Any], config: Any, weights: WeightGroup, dtype: str) -> MetaModel:
    try:
        return meta_model(model_class, config, weights.tensors, dtype)
    except Exception as error:  # an architecture may raise anything over a config that makes no sense
        reason = " ".join(str(error).split())
        raise files.refusal(
            "broken-checkpoint", f"the library cannot make a {model_class.__name__} of the checkpoint: {reason}"
        ) from error
