"""The golden examples of a spec, and whether their answers can be known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.golden import Golden
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.signature import Signature
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.settings.precedence import CHECKPOINT, MODEL_CONFIG, SIGNATURE
from hfspec.settings.sampling import by_chance
from hfspec.tasks.task import Task


def golden_examples(spec: Spec) -> tuple[Golden, ...]:
    """The spec's, as the artifact stores them."""
    return tuple(Golden(one.input, one.output, one.params, one.tolerance) for one in spec.golden)


def undetermined(
    tree: Tree, spec: Spec, task: Task, signature: Signature, checkpoint_settings: Mapping[str, Any]
) -> Iterator[Problem]:
    """A problem for each example that is sampled from no seed, ``checkpoint_settings`` being the checkpoint's own."""
    layers = {
        CHECKPOINT: checkpoint_settings,
        MODEL_CONFIG: spec.inference,
        SIGNATURE: {param.name: param.default for param in signature.params},
    }
    for place, one in enumerate(spec.golden):
        if by_chance(task, layers, one.input, one.params):
            path: KeyPath = ("golden", place)
            yield Problem(
                "golden-by-chance",
                "The answer to the golden example is sampled, so that it is another one each time.",
                tree.origin(path),
                path,
                remedy="Give a seed or do_sample: false, in its params (declared in signature.params) or model_config.",
            )
