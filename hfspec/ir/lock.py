"""A lock: every source of a spec at an exact commit, with the digest of every file that a deployment uses.

Written canonically, as ``artifact.json`` is, with no time and no path of a machine, so that two machines write the same
bytes. The JSON Schema is generated from these models (hfspec.locking.schema).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from hfspec.ir.canonical import canonical
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.patterns import COMMIT_PATTERN, SHA256_PATTERN
from hfspec.ir.pins import FilePin
from hfspec.ir.source_kinds import PLACES, SOURCE_KINDS
from hfspec.ir.spec_keys import LIBRARY, Frozen, Sha256, Text

LOCK_VERSION = 1


def _inside(path: str) -> str:
    parts = path.split("/")
    if "\\" in path or not path.isprintable() or any(part in ("", ".", "..") for part in parts):
        raise ValueError("a path inside the source was expected, such as onnx/config.json")
    return path


def _texts(value: object) -> FrozenDict:
    if not isinstance(value, dict | FrozenDict) or not all(isinstance(item, str) and item for item in value.values()):
        raise ValueError("a mapping from names to texts was expected")
    return FrozenDict(dict(sorted(value.items())))


def _digests(value: object) -> FrozenDict:
    texts = _texts(value)
    names = [name for name, text in texts.items() if not re.match(SHA256_PATTERN, text)]
    if names:
        raise ValueError(f"a sha256 in hex was expected under {', '.join(names)}")
    return texts


def _schema(item: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"type": "object", "additionalProperties": {"type": "string", **item}})


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("a whole number was expected")
    if isinstance(value, int) and value > LOCK_VERSION:
        raise ValueError(
            f"the lock was made by a newer hfspec, since it has version {value} and this hfspec reads {LOCK_VERSION} at"
            " most. Upgrade hfspec (pip install --upgrade hfspec)"
        )
    return value


def _sorted(files: tuple[LockedFile, ...]) -> tuple[LockedFile, ...]:
    paths = [file.path for file in files]
    if paths != sorted(set(paths)):
        raise ValueError("files must be sorted by path, each once")
    return files


def _distinct(sources: tuple[LockedSource, ...]) -> tuple[LockedSource, ...]:
    roles = [source.role for source in sources]
    if not roles or len(roles) != len(set(roles)):
        raise ValueError("there is at least one source, and each role has one")
    return sources


def _known_kind(kind: str) -> str:
    if kind not in SOURCE_KINDS:
        raise ValueError(f"one of {PLACES}")
    return kind


Kind: TypeAlias = Annotated[
    str, AfterValidator(_known_kind), WithJsonSchema({"enum": list(SOURCE_KINDS), "type": "string"})
]
Commit: TypeAlias = Annotated[str, Field(pattern=COMMIT_PATTERN)]
InsidePath: TypeAlias = Annotated[str, Field(min_length=1), AfterValidator(_inside)]
Versions: TypeAlias = Annotated[FrozenDict, PlainValidator(_texts), PlainSerializer(thaw), _schema({"minLength": 1})]
Digests: TypeAlias = Annotated[
    FrozenDict, PlainValidator(_digests), PlainSerializer(thaw), _schema({"pattern": SHA256_PATTERN})
]


class LockedFile(Frozen):
    """A file of a source, by its content."""

    path: InsidePath = Field(description="POSIX path inside the source.")
    size: int = Field(ge=0, description="Bytes.")
    sha256: Sha256 = Field(description="The digest of the bytes, in hex.")


class LockedSource(Frozen):
    """A source of the spec, pinned."""

    role: Text = Field(description="`model`, `adapter` or `components/<name>`.")
    kind: Kind = Field(description="Which key of the spec names the source.")
    location: Text = Field(
        description="The repository, the path as the spec wrote it (its last part when absolute), or package/folder."
    )
    revision: Text | None = Field(description="The commit, tag or branch as the spec wrote it.")
    commit: Commit | None = Field(description="The commit it stood for; null unless the source is a repository.")
    version: Text | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="What a location of another kind stood for, such as a version of MLflow's registry.",
    )
    files: Annotated[tuple[LockedFile, ...], Strict(False), AfterValidator(_sorted)] = Field(
        description="Every file that the deployment uses, sorted by path."
    )

    @model_validator(mode="after")
    def _whole(self) -> LockedSource:
        if (self.kind == "repo") != (self.commit is not None):
            raise ValueError("a repo has a commit, a source of another kind has none")
        if (self.version is not None) != bool(SOURCE_KINDS[self.kind].pinned_key and self.kind != "repo"):
            raise ValueError("a source of MLflow has a version, one of another kind has none")
        if SOURCE_KINDS[self.kind].is_local and PurePosixPath(self.location).is_absolute():
            raise ValueError("an absolute path belongs to one machine")
        return self

    @property
    def origin(self) -> tuple[str, str, str | None]:
        """The source as the spec names it."""
        return self.kind, self.location, self.revision


class Lock(Frozen):
    """Everything one deployment is made of."""

    lock_version: Annotated[Literal[1], BeforeValidator(_number)] = Field(description="The version of the lock's form.")
    name: Text = Field(description="The deployment's name.")
    spec_digest: Sha256 = Field(
        description="sha256 over the spec after composition and overrides, before its revisions became commits."
    )
    library: Text = Field(description=LIBRARY)
    task: Text = Field(description="The task by its own name, whatever alias the spec wrote.")
    sources: Annotated[tuple[LockedSource, ...], Strict(False), AfterValidator(_distinct)] = Field(
        json_schema_extra={"minItems": 1}, description="Every source, the model first."
    )
    chat_templates: Digests = Field(
        description="The chat templates that the deployment's tokenizer has: name -> sha256 of the text in UTF-8."
    )
    generation_config: Sha256 | None = Field(
        description="sha256 of the model's generation_config.json; null when it has none."
    )
    calibration: Sha256 | None = Field(
        default=None,
        exclude_if=lambda value: value is None,
        description="sha256 of the file that `quantization.calibration` names.",
    )
    versions: Versions = Field(description="The versions of Python and packages that the artifact is planned for.")

    def source(self, role: str) -> LockedSource | None:
        """The source of a role, None when the lock has none."""
        return next((source for source in self.sources if source.role == role), None)

    @property
    def commits(self) -> dict[tuple[str, str | None], str]:
        """Location and revision as written -> the commit or version that they stood for."""
        versions = ((source, source.commit or source.version) for source in self.sources)
        return {(source.location, source.revision): version for source, version in versions if version}

    def to_bytes(self) -> bytes:
        """The bytes of the lock file."""
        return canonical(self.model_dump(mode="json"))

    @classmethod
    def from_bytes(cls, data: bytes) -> Lock:
        """The lock in these bytes; indentation, order of keys and line ends do not count.

        Raises ValueError, naming each wrong place (``sources.0.files.2.sha256``).
        """
        try:
            text = data.decode("utf-8")
            json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ValueError("; ".join(_explained(details) for details in error.errors())) from error
        except UnicodeDecodeError as error:
            raise ValueError(f"it is not text in UTF-8 (byte {error.start})") from error
        except json.JSONDecodeError as error:
            raise ValueError(f"line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from error
        except RecursionError as error:
            raise ValueError("it is nested too deeply") from error


def _explained(details: Any) -> str:
    place = ".".join(str(part) for part in details["loc"])
    text = str(details["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}" if place else text


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs between a lock and what it is compared with.

    ``code``: ``spec``, ``task``, ``source-added``, ``source-removed``, ``source-moved`` (the spec names another place),
    ``commit``, ``file``, ``chat-template``, ``generation-config``, ``version``, ``missing`` (no lock at all).
    ``place``: a role, a role and a file (``model: config.json``), a package; ``before`` and ``after`` are what the lock
    says and what was found, None where there is nothing.
    """

    code: str
    place: str
    message: str
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Locked:
    """The result of locking a spec: the file, the new lock, and its differences from the old one. ``is_new``: there
    was no lock before, so that there is nothing to differ from; ``notes``: those of the plan, in whole sentences.
    """

    path: Path
    lock: Lock
    changes: tuple[Change, ...]
    is_new: bool
    notes: tuple[str, ...] = ()


def locked_file(file: FilePin) -> LockedFile:
    """A pinned file whose digest is known."""
    assert file.sha256 is not None, "digest fills in every digest"
    return LockedFile(path=file.path, size=file.size, sha256=file.sha256)
