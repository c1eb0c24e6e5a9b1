"""The job of a batch, as a value, and the identity by which a later run recognises it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from hfspec import __version__
from hfspec.batch.spans import InputFile, Sizes
from hfspec.errors import UsageError
from hfspec.ir.artifact import Manifest
from hfspec.ir.backends import BACKENDS
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.patterns import END
from hfspec.tasks.libraries import LIBRARIES

LIMIT_PATTERN = rf"^((\d+)|(\d+(\.\d+)?)%){END}"
SHARE_PATTERN = rf"^(\d+(\.\d+)?)(%?){END}"


@dataclass(frozen=True, slots=True)
class MaxErrors:
    """How many rows may fail: a number, or a share of the rows tried."""

    text: str
    count: int | None = None
    share: float | None = None

    def exceeded(self, errors: int, rows: int, *, at_end: bool) -> bool:
        """Whether too many rows failed; a share is first looked at after 1,000 rows."""
        if self.count is not None:
            return errors > self.count
        return (at_end or rows >= 1000) and errors > (self.share or 0.0) * rows


def max_errors(text: str) -> MaxErrors:
    """``100`` or ``0.5%``; raises UsageError."""
    match = re.match(LIMIT_PATTERN, text)
    if match is None or (match[3] and float(match[3]) > 100):
        raise UsageError(f"--max-errors {text}: expected a number of rows such as 100, or a share such as 1%")
    return MaxErrors(text, int(match[2])) if match[2] else MaxErrors(text, share=float(match[3]) / 100)


def share(text: str) -> float:
    """``1%`` or ``0.01``; raises UsageError."""
    match = re.match(SHARE_PATTERN, text)
    value = float(match[1]) / (100 if match[3] else 1) if match else 0.0
    if not 0 < value <= 1:
        raise UsageError(f"--sample {text}: expected a share of the rows such as 1% or 0.01")
    return value


@dataclass(frozen=True, slots=True)
class Job:
    """The job of a batch. ``keep``: the columns that come out as they came in; None for all. ``sample``: a
    share of the rows. ``limit``: the most rows. ``autoscaling``: the least and the most workers of a cluster, where
    ``replicas`` is not their number. ``gpus``: how many each worker has.
    """

    artifact: str
    inputs: tuple[str, ...]
    output: str
    input_format: str | None = None
    output_format: str = "parquet"
    columns: Mapping[str, str] = field(default_factory=FrozenDict)
    keep: tuple[str, ...] | None = None
    params: Mapping[str, Any] = field(default_factory=FrozenDict)
    settings: Mapping[str, Any] = field(default_factory=FrozenDict)
    outputs: str | None = None
    where: str | None = None
    limit: int | None = None
    sample: float | None = None
    max_errors: MaxErrors | None = None
    sizes: Sizes = field(default_factory=Sizes)
    device: str | None = None
    dtype: str | None = None
    backend: str | None = None
    engine: str = "local"
    address: str | None = None
    replicas: int | None = None
    autoscaling: tuple[int, int] | None = None
    gpus: float | None = None
    threads: int | None = None

    def identity(self, manifest: Manifest, files: tuple[InputFile, ...]) -> dict[str, Any]:
        """Everything that the output depends on, as JSON values; two runs with equal ones write equal bytes, and any
        engine goes on where another was stopped.

        Args:
            manifest: The artifact's manifest.
            files: The files of the input.
        """
        return {
            "artifact": manifest.digest,
            "input": [file.identity() for file in files],
            "input_format": self.input_format,
            "output_format": self.output_format,
            "map": dict(self.columns),
            "keep": None if self.keep is None else list(self.keep),
            "params": thaw(FrozenDict(self.params)),
            "model_config": thaw(FrozenDict(self.settings)),
            "outputs": self.outputs,
            "where": self.where,
            "limit": self.limit,
            "sample": self.sample,
            "part_rows": self.sizes.rows,
            "part_bytes": self.sizes.bytes,
            "device": self.device,
            "dtype": self.dtype,
            "backend": self.backend,
            "versions": {"hfspec": __version__, **_versions(manifest)},
        }


def _versions(manifest: Manifest) -> dict[str, str]:
    """Installed versions of the packages that may run the artifact, and of those that read and write the rows."""
    backends = {row.package for row in BACKENDS.values() if row.package is not None}
    needed = {"pyarrow", *backends, *LIBRARIES[manifest.deployment.library].packages, *manifest.versions}
    versions = {}
    for name in sorted(needed - {"python"}):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
