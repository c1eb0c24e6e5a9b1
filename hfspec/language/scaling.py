"""Whether the replicas of a model can be as a document says: how many, and on which devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree


def problems(tree: Tree, path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Problem]:
    """Check ``replicas``, ``autoscaling``, ``gpus`` and ``device`` against one another.

    Args:
        tree: The document.
        path: The key path of the mapping that has these keys.
        entry: The mapping.

    Returns:
        A problem for each.
    """
    bounds, gpus, device = entry.get("autoscaling"), entry.get("gpus"), entry.get("device")
    place = (*path, "autoscaling")
    if isinstance(bounds, Mapping):
        if entry.get("replicas") is not None:
            message = "The model has a number of `replicas` and bounds for it."
            yield Problem("conflict", message, tree.origin(place), place, remedy="Remove one of them.")
        least, most = bounds.get("min_replicas", 1), bounds.get("max_replicas")
        if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
            message = f"There are to be at least {least} replicas, and at most {most}."
            yield Problem("conflict", message, tree.origin(place), (*place, "max_replicas"))
    place = (*path, "gpus")
    if isinstance(gpus, int | float) and gpus > 1 and gpus != int(gpus):
        message = "A replica has a part of one GPU, or whole ones."
        yield Problem("wrong-value", message, tree.origin(place), place, expected="0.5, 1, 2 …", found=str(gpus))
    if isinstance(gpus, int | float) and gpus > 0 and device in {"cpu", "mps"}:
        message = f"The model is to have {gpus:g} GPUs, and to run on {device}."
        yield Problem("conflict", message, tree.origin(place), place, remedy="Remove `gpus` or `device`.")
