"""The content of ``artifact.json``: the whole account of an artifact, read by the runtime without pydantic.

Written canonically, so that the same content is the same bytes, and with a digest over itself, so that a flipped bit in
the manifest is found as surely as one in a weight. ``manifest_versions`` reads what older versions of hfspec wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hfspec.ir.canonical import canonical, digest_of
from hfspec.ir.field_types import check_fields, check_keys, records_of
from hfspec.ir.frozen import FrozenDict, freeze, thaw
from hfspec.ir.manifest_versions import FORMAT_VERSION, LATER_VERSION, read
from hfspec.ir.signature import Signature

MANIFEST_NAME = "artifact.json"
SPEC_SUFFIXES = (".yaml", ".yml")  # of the files that artifacts are compiled from
# The forms of an answer: what MLflow documents for the task, and all that the model knows.
STANDARD, FULL = FORMS = ("standard", "full")
# Where the files lie that come from the model and from components of their own.
PARTS = ("model/", "components/")


@dataclass(frozen=True, slots=True)
class FileRecord:
    """A file of the artifact: POSIX path relative to it, size in bytes, sha256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class SourceRecord:
    """Where a part came from. ``role``: ``model``, ``adapter`` or ``components/<name>``; ``kind``: repo, path or
    package; ``location``: the repository, the path as the spec wrote it, or package/folder; ``revision``: as the spec
    wrote it; ``commit``: 40 hex digits, for a repo only; ``version``: what pins a source of another kind,
    left out where only its bytes do. ``licences``: the identifiers that its card declares, in lower case; empty, and
    left out, when it declares none.
    """

    role: str
    kind: str
    location: str
    revision: str | None = None
    commit: str | None = None
    licences: tuple[str, ...] = ()
    version: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; ``licences`` and ``version`` only where there are any."""
        values = asdict(self)
        licences, version = values.pop("licences"), values.pop("version")
        return {
            **values,
            **({"licences": list(licences)} if licences else {}),
            **({} if version is None else {"version": version}),
        }


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A weight file that a full save writes anew, for a cast or another sharding: ``path`` in the artifact, ``size`` in
    bytes, ``tensors``: name -> the dtype it is saved as, by safetensors' name.
    """

    path: str
    size: int
    tensors: FrozenDict


@dataclass(frozen=True, slots=True)
class Pointer:
    """The weights of one model or module, which lie at the source of ``role`` and not in the artifact. ``folder``:
    theirs, in the source and in ``model/``; empty or ending with a slash. ``files``: the source's weight files, by
    their paths there. ``written``: what a full save makes of them, none where it takes them as they are; ``unused``:
    tensors that the model does not load, some of those written.
    """

    role: str
    folder: str
    files: tuple[FileRecord, ...]
    written: tuple[WrittenFile, ...] = ()
    unused: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes at the source."""
        return sum(file.size for file in self.files)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Pointer:
        """The inverse of to_json; raises KeyError or TypeError on any other shape."""
        check_keys(cls, value)
        files, weights = records_of(FileRecord, value["files"]), records_of(WrittenFile, value.get("written", []))
        return cls(value["role"], value["folder"], files, weights, freeze(value.get("unused", [])))

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; what is empty and may be is left out."""
        weights = [{"path": file.path, "size": file.size, "tensors": thaw(file.tensors)} for file in self.written]
        rest = {"written": weights, "unused": list(self.unused)}
        return {
            "role": self.role,
            "folder": self.folder,
            "files": [asdict(file) for file in self.files],
            **{key: value for key, value in rest.items() if value},
        }


@dataclass(frozen=True, slots=True)
class Deployment:
    """Every decision that the runtime needs to run the model, already made by the plan.

    ``task`` is the canonical name, ``task_as_written`` the spec's (``translation_en_to_fr`` says more than its
    canonical name). ``model_class`` and ``components`` name classes of the library (``BertForSequenceClassification``;
    component name -> class name). ``model_config`` holds the spec's inference settings, ``defaults`` hfspec's own for
    what neither the checkpoint nor the spec says. ``dtype`` is the resolved dtype of the weights as saved (``float32``,
    never ``auto``). ``options``: component name -> constructor options that the spec overrides.
    ``runtime``: device, device_map, threads, backend and compute_dtype to load with, as far as the spec says; left out
    when empty.
    ``format``: of the model's weights, a row of hfspec/tasks/weight_formats.py; left out when it is safetensors.
    """

    library: str
    task: str
    task_as_written: str
    model_class: str
    dtype: str
    outputs: str
    prompt_template: str | None
    model_config: FrozenDict
    defaults: FrozenDict
    components: FrozenDict
    options: FrozenDict
    runtime: FrozenDict = field(default_factory=FrozenDict)
    format: str = "safetensors"

    @property
    def computed_dtype(self) -> str:
        """The dtype that a load casts the weights to where nothing is measured."""
        stated = self.runtime.get("compute_dtype", "auto")
        return self.dtype if stated == "auto" else str(stated)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        values = {key: thaw(getattr(self, key)) for key in type(self).__slots__}
        usual = {"runtime": {}, "format": "safetensors"}
        return {key: value for key, value in values.items() if key not in usual or value != usual[key]}


def adapter_saved(sources: Sequence[SourceRecord], paths: Iterable[str]) -> str:
    """How an artifact of these files has its adapter: beside the model, or merged into it; empty without one."""
    if not any(source.role == "adapter" for source in sources):
        return ""
    return "beside the model" if "adapter/adapter_config.json" in paths else "merged into the model"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The artifact's account of itself. ``files`` lists every file but the manifest, sorted by path. ``versions``:
    package name -> version the artifact was planned for. ``made_by``: how (``{"hfspec": "0.1.0"}``); no times, no
    absolute paths; ``cleaned`` in it: path -> what was changed in a file of the source, where anything was;
    ``converted``: of a model that was made of the sources' checkpoint, how, and how far it answers as that does.
    Where the artifact gives embeddings, ``space``: a digest of what its weights, tokenizer, modules
    and prompts are, and ``fingerprint``: that of the embedding space, the settings that the spec fixes included; None,
    and left out, for other tasks. ``code``: what is a class of reviewed code (``config``, ``model``, or a component's
    name) -> the file of the artifact and the class in it (``model/modeling_x.py:XModel``); left out when empty.
    ``serving``: limits and endpoints to serve the model with, as far as the spec says; left out when empty.
    ``graph``: of a model that is a graph, how it was made and how far its answers are from those of the weights that it
    was made of; left out when empty.
    """

    name: str
    spec_digest: str
    sources: tuple[SourceRecord, ...]
    deployment: Deployment
    signature: Signature
    files: tuple[FileRecord, ...]
    versions: FrozenDict
    made_by: FrozenDict
    metadata: FrozenDict
    space: str | None = None
    fingerprint: str | None = None
    pointers: tuple[Pointer, ...] = ()
    code: FrozenDict = field(default_factory=FrozenDict)
    serving: FrozenDict = field(default_factory=FrozenDict)
    graph: FrozenDict = field(default_factory=FrozenDict)
    recorded_digest: str | None = field(default=None, init=False, repr=False, compare=False)
    """The digest in the file that this was read from, which an older hfspec may have taken over another form; None of a
    manifest that was made here, and of a changed copy."""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, without the digest."""
        optional = {"space": self.space, "fingerprint": self.fingerprint}
        optional |= {name: thaw(getattr(self, name)) or None for name in ("code", "graph", "serving")}
        return {
            **{name: value for name, value in optional.items() if value is not None},
            **({"pointers": [pointer.to_json() for pointer in self.pointers]} if self.pointers else {}),
            "format_version": self._format_version,
            "name": self.name,
            "spec_digest": self.spec_digest,
            "sources": [source.to_json() for source in self.sources],
            "deployment": self.deployment.to_json(),
            "signature": self.signature.to_json(),
            "files": [asdict(record) for record in self.files],
            "versions": thaw(self.versions),
            "made_by": thaw(self.made_by),
            "metadata": thaw(self.metadata),
        }

    @property
    def _format_version(self) -> int:
        is_beyond_older = bool(self.graph) or "compute_dtype" in self.deployment.runtime
        return LATER_VERSION if is_beyond_older else FORMAT_VERSION

    def to_bytes(self) -> bytes:
        """The bytes of ``artifact.json``."""
        body = self.to_json()
        return canonical({**body, "digest": digest_of(body)})

    @property
    def cleaned(self) -> Mapping[str, Sequence[str]]:
        """Path -> what was changed in a file of the source; empty where all are the source's own bytes."""
        texts: Mapping[str, Sequence[str]] = self.made_by.get("cleaned", {})
        return texts

    @property
    def converted(self) -> Mapping[str, Any]:
        """How the model was made of the sources' checkpoint; empty where it is that checkpoint."""
        account: Mapping[str, Any] = self.made_by.get("converted", {})
        return account

    @property
    def makers(self) -> dict[str, str]:
        """The packages that made the artifact -> their versions."""
        return {name: version for name, version in self.made_by.items() if isinstance(version, str)}

    @property
    def digest(self) -> str:
        """The artifact's digest: sha256 in hex over everything the manifest says, so over every byte of it. It stays
        the one that the artifact was written with, whatever version of hfspec reads it.
        """
        return self.recorded_digest or digest_of(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """The manifest in these bytes.

        Raises NewerFormatError when a newer hfspec wrote them, ValueError, saying why, when they are damaged.
        """
        body, digest = read(data)
        try:
            manifest = cls._from_json(body)
            check_fields(manifest, manifest.deployment, *manifest.sources, *manifest.files, *_parts(manifest.pointers))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is not a manifest of hfspec: {error!r}") from error
        object.__setattr__(manifest, "recorded_digest", digest)
        return manifest

    @classmethod
    def _from_json(cls, value: Mapping[str, Any]) -> Manifest:
        check_keys(cls, value, "format_version")
        return cls(
            name=value["name"],
            space=value.get("space"),
            fingerprint=value.get("fingerprint"),
            pointers=tuple(Pointer.from_json(pointer) for pointer in value.get("pointers", ())),
            code=freeze(value.get("code", {})),
            serving=freeze(value.get("serving", {})),
            graph=freeze(value.get("graph", {})),
            spec_digest=value["spec_digest"],
            sources=records_of(SourceRecord, value["sources"]),
            deployment=Deployment(**{key: freeze(item) for key, item in value["deployment"].items()}),
            signature=Signature.from_json(value["signature"]),
            files=records_of(FileRecord, value["files"]),
            versions=freeze(value["versions"]),
            made_by=freeze(value["made_by"]),
            metadata=freeze(value["metadata"]),
        )


def _parts(pointers: tuple[Pointer, ...]) -> Iterator[Pointer | FileRecord | WrittenFile]:
    for pointer in pointers:
        yield pointer
        yield from pointer.files
        yield from pointer.written


def code_files(manifest: Manifest) -> tuple[FileRecord, ...]:
    """The files of code that came with the checkpoint, sorted by path."""
    return tuple(record for record in manifest.files if record.path.startswith(PARTS) and record.path.endswith(".py"))


@dataclass(frozen=True, slots=True)
class Artifact:
    """An artifact on disk: its folder and what its manifest says; of one that was just compiled also the ``notes`` of
    its plan and of its trial run, and ``replaced``: the keys in which it differs from the artifact of another spec that
    it replaced.
    """

    path: Path
    manifest: Manifest
    notes: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        return self.manifest.digest
