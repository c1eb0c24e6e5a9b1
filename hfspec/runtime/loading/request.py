"""What a load was asked for, and what it loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hfspec.integrity import fingerprint
from hfspec.integrity.verification import Verified
from hfspec.ir.artifact import Manifest
from hfspec.ir.backends import TORCH
from hfspec.runtime.patches.states import States, together
from hfspec.runtime.patches.table import ALL
from hfspec.tasks.task import Task

if TYPE_CHECKING:
    from hfspec.runtime.loading.gathering import Gathered


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What ``hfspec.load`` was asked for, settled: which artifact, and how its model is loaded."""

    folder: Path
    """The artifact's."""
    manifest: Manifest
    task: Task
    dtype: str
    """Of the weights, as torch names it."""
    device: str
    """As torch names it."""
    device_map: Any = field(default=None, compare=False, kw_only=True)
    """How the model is spread over several devices; None where it is on one."""
    threads: int | None = field(default=None, kw_only=True)
    """Of the CPU, where the library takes them with the model and not for the whole process."""
    backend: str = field(default=TORCH, kw_only=True)
    """What does the model's arithmetic."""
    patches: str = field(default=ALL, kw_only=True)
    """Which patches may be tried on the model: all or none."""
    verified: Verified | None = field(default=None, compare=False)
    """What was found of the artifact's files; None where they were not looked at."""
    code: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The classes of reviewed code, by what they are: ``config``, ``model``, a component's name."""
    weights: Gathered | None = field(default=None, compare=False)
    """Where the weights were gathered, when they are not in the artifact."""

    @property
    def model_folder(self) -> Path:
        """The folder that the model's files are read from."""
        return self.folder / "model" if self.weights is None else self.weights.model

    @property
    def space(self) -> str | None:
        """What the embeddings are made by; None where the task gives none."""
        if self.weights is None or not self.task.embeds:
            return self.manifest.space
        return self.weights.space

    def fingerprint(self, given: Mapping[str, Any]) -> str | None:
        """The fingerprint of the embeddings under the ``given`` model_config; None where the task gives none."""
        return fingerprint.of_folder(self.folder, self.manifest, self.task, given, dtype=self.dtype, space=self.space)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is read of the artifact in the block is what was verified, or VerificationError is raised, whatever the
        library says of the swapped file.
        """
        try:
            yield
        finally:
            if self.verified is not None:
                self.verified.check_unchanged()
            if self.weights is not None:
                self.weights.digests.check_unchanged()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The library's objects that a runner answers with; None for those that its task has no use for."""

    model: Any = None
    """The model of transformers, with the adapter and the backend put on it."""
    tokenizer: Any = None
    feature_extractor: Any = None
    image_processor: Any = None
    processor: Any = None
    """Of which the feature extractor and the tokenizer are parts, where the spec brings one."""
    sentence_model: Any = None
    """The model of sentence-transformers, where that answers by itself."""
    patches: States = field(default_factory=together)
    """The states of the patches that were tried."""
