"""The settled arguments of a load, and the objects it loaded."""

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
    """The settled arguments of ``hfspec.load``: the artifact, and how to load its model."""

    folder: Path
    """The artifact's folder."""
    manifest: Manifest
    task: Task
    dtype: str
    """The dtype of the weights, by torch's name."""
    device: str
    """The device, by torch's name."""
    device_map: Any = field(default=None, compare=False, kw_only=True)
    """The map that spreads the model over several devices; None where it is on one."""
    threads: int | None = field(default=None, kw_only=True)
    """Threads of the CPU, for a library that takes them with the model and not for the whole process."""
    backend: str = field(default=TORCH, kw_only=True)
    """The backend that does the model's arithmetic."""
    patches: str = field(default=ALL, kw_only=True)
    """Which patches may be tried on the model: all or none."""
    verified: Verified | None = field(default=None, compare=False)
    """The result of verifying the artifact's files; None where they were not verified."""
    code: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The classes of reviewed code, by what they are: ``config``, ``model``, a component's name."""
    weights: Gathered | None = field(default=None, compare=False)
    """The folder with the weights, when they are not in the artifact."""

    @property
    def model_folder(self) -> Path:
        """The folder that the model's files are read from."""
        return self.folder / "model" if self.weights is None else self.weights.model

    @property
    def space(self) -> str | None:
        """The embedding space; None where the task gives no embeddings."""
        if self.weights is None or not self.task.embeds:
            return self.manifest.space
        return self.weights.space

    def fingerprint(self, config: Mapping[str, Any]) -> str | None:
        """The fingerprint of the embeddings under this model_config; None where the task gives no embeddings."""
        return fingerprint.of_folder(self.folder, self.manifest, self.task, config, dtype=self.dtype, space=self.space)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise VerificationError where a file of the artifact that the block reads is not the verified one, whatever
        the library raises over the swapped file.
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
    """The libraries' objects that a runner answers with; None for those that its task does not use."""

    model: Any = None
    """The model of transformers, with the adapter and the backend put on it."""
    tokenizer: Any = None
    feature_extractor: Any = None
    image_processor: Any = None
    processor: Any = None
    """The spec's own, where it brings one, with the feature extractor and the tokenizer as its parts."""
    sentence_model: Any = None
    """The model of sentence-transformers, where that answers by itself."""
    patches: States = field(default_factory=together)
    """The states of the patches tried on it."""
