"""The sources of a deployment: its spec and task, and the files of each source."""

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
class Sources:
    """A valid spec, and the files of its pinned sources."""

    spec: Spec
    task: Task
    tree: Tree
    """Where each key of the spec was written."""
    resolved: Resolved
    model: SourceFiles
    components: Mapping[str, SourceFiles]
    """The components that the spec brings from elsewhere than the model, by name."""
    adapter: SourceFiles | None

    @property
    def tokenizer(self) -> SourceFiles | None:
        """The tokenizer's files where it comes from elsewhere than the model."""
        return self.components.get("tokenizer") or self.components.get(PROCESSOR)

    @property
    def all(self) -> tuple[SourceFiles, ...]:
        """The files of every source, in the order of the pins."""
        readers = self.resolved.readers
        return tuple(SourceFiles(self.tree, pin, readers[pin.role]) for pin in self.resolved.pins.sources)


def spec_sources(spec: Spec, tree: Tree, resolved: Resolved) -> Sources:
    """The sources of a spec that is valid and whose sources are pinned."""
    task = find(spec.library, spec.task)
    model = source_files(tree, resolved, "model")
    assert task is not None, "validate lets no unknown task through"
    assert model is not None, "resolve pins a model"
    files_by_name = ((name, source_files(tree, resolved, f"components/{name}")) for name, _ in spec.components.given())
    components = {name: files for name, files in files_by_name if files is not None}
    return Sources(spec, task, tree, resolved, model, components, source_files(tree, resolved, "adapter"))
