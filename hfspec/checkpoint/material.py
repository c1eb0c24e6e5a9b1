"""What a deployment is made of: its spec and task, and the files of its sources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hfspec.checkpoint.source_files import SourceFiles, source_files
from hfspec.ir.pins import Resolved
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.tasks.table import find
from hfspec.tasks.task import PROCESSOR, Task


@dataclass(frozen=True, slots=True)
class Material:
    """``own``: the files of the components that the spec brings from elsewhere, by the component's name."""

    spec: Spec
    task: Task
    model: SourceFiles
    own: Mapping[str, SourceFiles]
    adapter: SourceFiles | None

    @property
    def tokenizer(self) -> SourceFiles | None:
        """The tokenizer's files where it comes from elsewhere than the model."""
        return self.own.get("tokenizer") or self.own.get(PROCESSOR)


def material(spec: Spec, tree: Tree, resolved: Resolved) -> Material:
    """The material of a spec that is valid and whose sources are pinned."""
    task = find(spec.library, spec.task)
    model = source_files(tree, resolved, "model")
    assert task is not None, "validate lets no unknown task through"
    assert model is not None, "resolve pins a model"
    found = ((name, source_files(tree, resolved, f"components/{name}")) for name, _ in spec.components.given())
    own = {name: files for name, files in found if files is not None}
    return Material(spec, task, model, own, source_files(tree, resolved, "adapter"))
