"""A spec's account of its deployment: what its defaults say is in it, and each meaning is written one way."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.weights.saving import size_in_bytes
from hfspec.comparison.parts import account, signature_parts, task_name
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.problem import KeyPath
from hfspec.ir.spec import Spec
from hfspec.ir.spec_keys import Source
from hfspec.ir.tree import Tree
from hfspec.stages.load import load
from hfspec.stages.validate import validate
from hfspec.tasks.table import find

DEFAULT_REVISION = "main"
# The keys of a spec that ``spec_account`` states in words of its own; any other is stated as it stands.
STATED = frozenset(
    {"spec_version", "name", "library", "task", "model", "adapter", "components", "prompt_template", "model_config"}
    | {"signature", "dtype", "outputs", "save_mode", "max_shard_size", "input_example", "golden", "trust_remote_code"}
    | {"metadata", "license_policy"}
)


@dataclass(frozen=True, slots=True)
class SpecSide:
    """A spec that has been read. ``place``: the folder of a file that it is made of -> where the reader
    knows that folder to be.
    """

    spec: Spec
    tree: Tree
    place: Callable[[Path], Path]


def read_spec(file: Path, place: Callable[[Path], Path] = lambda path: path, overrides: Sequence[str] = ()) -> SpecSide:
    """Read the spec in a file.

    Args:
        file: The file.
        place: Where a reader knows the file and the folders around it to be.
        overrides: Hydra's overrides, ``key=value``.

    Returns:
        The spec as a side of the comparison.

    Raises:
        SpecError: With every problem found.
        UsageError: The file cannot be read.
    """
    tree = load(file, overrides)
    return SpecSide(validate(tree), tree, place)


def spec_account(side: SpecSide, *, named: bool) -> FrozenDict:
    """Tell what a spec says.

    Args:
        side: The spec.
        named: Whether its name counts; the file's stem stands for a name that is not written.

    Returns:
        The account, group by group.
    """
    spec, task = side.spec, find(side.spec.answering, side.spec.task) or find(side.spec.library, side.spec.task)
    assert task is not None, "validate lets no unknown task through"
    others = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return account(
        {
            "name": (spec.name or Path(side.tree.file).stem) if named else None,
            "task": {"library": spec.library, "task": task_name(spec.library, spec.task)},
            "model": _source(side, spec.model, ("model",)),
            "adapter": _source(side, spec.adapter, ("adapter",)) if spec.adapter else None,
            "components": {
                name: _source(side, component, ("components", name)) for name, component in spec.components.given()
            },
            "prompt template": spec.prompt_template,
            "model_config": spec.inference,
            "signature": signature_parts(signature(spec, task, None)),
            "dtype": spec.dtype,
            "outputs": spec.outputs,
            "save mode": spec.save_mode,
            "size": {"max_shard_size": size_in_bytes(spec.max_shard_size)},
            "input example": spec.input_example,
            "golden": {str(place): golden for place, golden in enumerate(others.get("golden", ()), start=1)},
            "code files": {file.path: file.sha256 for file in spec.trust_remote_code},
            "licence policy": spec.license_policy.model_dump(mode="json", exclude_none=True)
            if spec.license_policy
            else None,
            "metadata": spec.metadata,
            **{key: value for key, value in others.items() if key not in STATED},
        }
    )


def _source(side: SpecSide, source: Source, key: KeyPath) -> dict[str, Any]:
    values = {name: value for name, value in source.model_dump(mode="json", exclude_none=True).items() if value != {}}
    if source.kind.takes_revision:
        values.setdefault("revision", DEFAULT_REVISION)
    if source.kind.is_local:
        values[source.kind.key] = _location(side, source.location, (*key, source.kind.key))
    return values


def _location(side: SpecSide, path: str, key: KeyPath) -> str:
    """The folder that a path means, from the current folder where it lies below that: ``../m`` of ``specs/x.yaml`` and
    ``../../m`` of ``specs/team/y.yaml`` are one.
    """
    origin, own_path, here = side.tree.origin(key), Path(path).expanduser(), Path.cwd()
    base = Path() if origin.override else Path(origin.file or side.tree.file).parent
    folder = Path(os.path.abspath(side.place(base.resolve()) / own_path))  # noqa: PTH100 - a checkpoint may be a link
    return (folder.relative_to(here) if folder.is_relative_to(here) else folder).as_posix()
