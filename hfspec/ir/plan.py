"""The plan of a compile: every decision made, nothing written yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, Self

from hfspec.ir.artifact import Deployment, FileRecord, Manifest, Pointer, SourceRecord
from hfspec.ir.calibration import Calibration
from hfspec.ir.frozen import FrozenDict, Json
from hfspec.ir.golden import Golden
from hfspec.ir.pins import Reader, TensorInfo
from hfspec.ir.signature import Signature
from hfspec.ir.spec_keys import Quantization


@dataclass(frozen=True, slots=True)
class CopyFile:
    """Bytes of a source's file, as they are. ``sha256``: the digest they must have, where it is known."""

    target: str
    role: str
    path: str
    size: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class TensorMove:
    """One tensor on its way into a new weight file: taken from ``path`` of ``role``, at safetensors offsets
    ``start``..``end`` in bytes after that file's header, stored as ``dtype`` (safetensors' name), cast from
    ``source_dtype`` when that differs. ``used``: whether the model loads it. ``stored_name``: its name in the source,
    where that is another. ``merge``: what is done with an adapter before it is written.
    """

    name: str
    role: str
    path: str
    start: int
    end: int
    shape: tuple[int, ...]
    source_dtype: str
    dtype: str
    used: bool = True
    stored_name: str = ""
    merge: Merge | None = None

    @classmethod
    def of(cls, role: str, path: str, tensor: TensorInfo, dtype: str, *, used: bool) -> Self:
        """A tensor of a source's file on its way under its own name."""
        return cls(
            name=tensor.name,
            role=role,
            path=path,
            start=tensor.start,
            end=tensor.end,
            shape=tensor.shape,
            source_dtype=tensor.dtype,
            dtype=dtype,
            used=used,
        )

    @property
    def files(self) -> frozenset[tuple[str, str]]:
        """Every file that it is made from, as role and path."""
        others = (*self.merge.parts, *self.merge.adapter) if self.merge else ()
        return frozenset((move.role, move.path) for move in (self, *others))


@dataclass(frozen=True, slots=True)
class Merge:
    """The merge of an adapter into one parameter of a module. ``module``: its name in the
    model; ``parameter``: its own name in the module (``weight``). ``parts``: each parameter of the module by that name,
    with the dtype that the model loads it as; ``adapter``: the adapter's tensors for the module.
    """

    module: str
    parameter: str
    parts: tuple[TensorMove, ...]
    adapter: tuple[TensorMove, ...]


@dataclass(frozen=True, slots=True)
class Merging:
    """The model that an adapter is merged into: its class of transformers, its config, and the adapter's."""

    model_class: str
    config: FrozenDict
    adapter: FrozenDict


@dataclass(frozen=True, slots=True)
class WriteWeights:
    """A safetensors file written tensor by tensor, because of a cast or a new sharding. ``size`` in bytes."""

    target: str
    tensors: tuple[TensorMove, ...]
    metadata: FrozenDict
    size: int


@dataclass(frozen=True, slots=True)
class WriteBytes:
    """A small file whose content the plan already knows."""

    target: str
    content: bytes

    @property
    def size(self) -> int:
        return len(self.content)


@dataclass(frozen=True, slots=True)
class Flavor:
    """The object that MLflow's own flavor of a library makes of the artifact's files. ``name``: the flavor; ``task``:
    that of transformers' pipeline; ``class_name``: of the object; ``components``: those it takes.
    """

    name: str
    task: str
    class_name: str
    components: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a model of another library is to be made of the plan's files."""

    to: str
    precision: str
    execution_provider: str
    versions: FrozenDict
    """The packages that make it -> their versions."""

    def to_json(self) -> dict[str, Json]:
        """Plain JSON values."""
        return {
            "to": self.to,
            "precision": self.precision,
            "execution_provider": self.execution_provider,
            "made_by": self.versions,
        }


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting in force and where it came from (``specs/x.yaml:7:3``, ``command line (dtype=…)``,
    ``generation_config.json``, ``hfspec default``).
    """

    key: str
    value: Json
    origin: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Every decision of one compile.

    ``parameters``: number of weights' elements; ``weight_bytes``: at the saved dtype; ``memory_bytes``: what the
    loaded weights take. ``spec_document``: the resolved spec, written as spec.yaml. ``run``: whether the emitted
    predictor is run on its examples before the artifact is put in place, ``check_golden``: on the golden ones too,
    ``probe``: whether, for want of examples, on one plain input of the task.
    ``notes``: what a reader should know (files skipped, a missing licence), each a whole sentence. ``requirements``:
    pip requirement lines. ``pointers``: the weights that stay at their source, a digest empty where it is not known
    yet. ``merging``: for an adapter that is merged into the model. ``code``: the classes of reviewed code, as the
    manifest has them. ``cleaned``: path of the artifact -> what of its source's file was changed, so that no place of
    another machine and no password goes along. ``labels``: those that the model answers with, by their numbers; none
    for other tasks. ``serving``: what the spec says of serving. ``flavor``: by which MLflow makes the library's own
    object, None where it cannot. ``conversion``: of a plan whose files are those of a checkpoint that is to be
    converted; ``converted``: of the plan of what that gave, how it was made, as the manifest has it. ``makers``: the
    packages that make a model's graph -> their versions; ``graph_file``: where the source has one already;
    ``quantization``: what is asked of it, ``calibration``: by which examples; ``graph``: what the manifest says of one.
    """

    name: str
    spec_document: FrozenDict
    spec_digest: str
    sources: tuple[SourceRecord, ...]
    deployment: Deployment
    signature: Signature
    steps: tuple[CopyFile | WriteWeights | WriteBytes, ...]
    parameters: int
    weight_bytes: int
    memory_bytes: int
    settings: tuple[SettingRow, ...]
    requirements: tuple[str, ...]
    versions: FrozenDict
    metadata: FrozenDict
    input_example: Json
    run: bool
    golden: tuple[Golden, ...] = ()
    check_golden: bool = False
    probe: bool = False
    notes: tuple[str, ...] = ()
    pointers: tuple[Pointer, ...] = ()
    merging: Merging | None = None
    code: FrozenDict = field(default_factory=FrozenDict)
    cleaned: FrozenDict = field(default_factory=FrozenDict)
    labels: tuple[str, ...] = ()
    serving: FrozenDict = field(default_factory=FrozenDict)
    flavor: Flavor | None = None
    conversion: Conversion | None = None
    converted: FrozenDict = field(default_factory=FrozenDict)
    makers: FrozenDict = field(default_factory=FrozenDict)
    graph_file: str | None = None
    quantization: Quantization | None = None
    calibration: Calibration | None = None
    graph: FrozenDict = field(default_factory=FrozenDict)

    @property
    def all_versions(self) -> FrozenDict:
        """The packages that the artifact depends on -> their versions: those that run it, and those that convert it."""
        return self.versions if self.conversion is None else FrozenDict({**self.conversion.versions, **self.versions})

    def manifest(self, files: Sequence[FileRecord], version: str) -> Manifest:
        """The manifest of an artifact with these files, made by hfspec ``version``."""
        accounts = {"cleaned": self.cleaned, "converted": self.converted}
        return Manifest(
            name=self.name,
            spec_digest=self.spec_digest,
            sources=self.sources,
            deployment=self.deployment,
            signature=self.signature,
            files=tuple(files),
            versions=self.versions,
            made_by=FrozenDict(
                {"hfspec": version, **self.makers, **{name: account for name, account in accounts.items() if account}}
            ),
            metadata=self.metadata,
            pointers=self.pointers,
            code=self.code,
            serving=self.serving,
            graph=self.graph,
        )


@dataclass(frozen=True, slots=True)
class Converted:
    """The result of a conversion: a plan of its files, and their readers by role."""

    plan: Plan
    readers: Mapping[str, Reader]


class Work(Protocol):
    """The work of a build: steps, and the model of an adapter that is merged into the weights they write."""

    @property
    def steps(self) -> tuple[CopyFile | WriteWeights | WriteBytes, ...]: ...

    @property
    def merging(self) -> Merging | None: ...
