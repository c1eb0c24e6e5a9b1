"""A batch file as typed, frozen values. The JSON Schema of batch files is generated from these models."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, Strict

from hfspec.batch.engines.table import ENGINES
from hfspec.batch.formats.table import FORMATS
from hfspec.batch.job import LIMIT_PATTERN, SHARE_PATTERN, Job, max_errors, share
from hfspec.batch.spans import Sizes
from hfspec.ir.backends import BackendName
from hfspec.ir.dtypes import DtypeName
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.patterns import DEVICE_PATTERN, END
from hfspec.ir.replica_keys import Bounds, Gpus, Replicas
from hfspec.ir.spec_keys import Count, Frozen, Mapping, Text, Threads

Texts: TypeAlias = Annotated[tuple[Text, ...], Strict(False)]
_FORMATS = rf"^({'|'.join(FORMATS)}){END}"
_ENGINES = rf"^({'|'.join(ENGINES)}){END}"


class Input(Frozen):
    """Where the rows come from, and which of them are answered."""

    paths: Annotated[Texts, Field(min_length=1)] = Field(
        description="Files, folders and globs, also `s3://` and the like; from the folder of the batch file.",
        examples=[["data/*.parquet"]],
    )
    format: str | None = Field(
        default=None, pattern=_FORMATS, description="The format of all files; by default their names' endings say it."
    )
    map: Mapping = Field(
        default=FrozenDict(),
        description="Input of the artifact -> the column it is read from, where the names differ.",
        examples=[{"text": "body"}],
    )
    where: Text | None = Field(
        default=None, description="Only rows that fit this condition.", examples=["lang == 'en' and score >= 0.5"]
    )
    limit: Count | None = Field(default=None, description="Only so many rows, from the first on.")
    sample: Annotated[str, Field(pattern=SHARE_PATTERN)] | None = Field(
        default=None, description="Only a share of the rows, always the same ones.", examples=["1%"]
    )


class Output(Frozen):
    """Where the rows go, and in which form."""

    path: Text = Field(
        description="The folder, which is empty or does not exist; from the folder of the batch file.",
        examples=["build/embeddings"],
    )
    format: Literal["parquet", "jsonl", "csv", "arrow"] = Field(default="parquet", description="The format.")
    keep: Texts | None = Field(
        default=None, description="The columns that come out as they came in; all if left out, `[]` for none."
    )
    part_rows: Count = Field(default=100_000, description="Rows of one file at most, where their number is known.")
    part_bytes: Count = Field(default=16 << 20, description="Bytes of the input for one file, where it is not.")


class Batch(Frozen):
    """A job: rows of files through an artifact, into files."""

    artifact: Text = Field(
        description="The artifact's folder, from the folder of the batch file; from the current one in an override.",
        examples=["build/minilm"],
    )
    input: Input = Field(description="The rows.")
    output: Output = Field(description="The answers.")
    params: Mapping = Field(default=FrozenDict(), description="Params of predict.", examples=[{"top_k": 2}])
    inference: Mapping = Field(
        default=FrozenDict(), alias="model_config", description="Inference settings over those of the artifact."
    )
    outputs: Literal["standard", "full"] | None = Field(
        default=None, description="How much of an answer is given; by default as the artifact says."
    )
    max_errors: Annotated[str, Field(pattern=LIMIT_PATTERN)] | None = Field(
        default=None,
        description="How many rows may fail, a number or a share, before the job stops; any if left out.",
        examples=["1%", "100"],
    )
    device: str | None = Field(default=None, pattern=DEVICE_PATTERN, description="As torch names it.")
    dtype: DtypeName | None = Field(default=None, description="Cast the weights to this while loading.")
    backend: BackendName | None = Field(default=None, description="What does the model's arithmetic.")
    engine: Annotated[str, Field(pattern=_ENGINES)] = Field(
        default="local",
        description="Where the parts of the output are made: in this process, or on a cluster.",
        examples=["ray", "spark"],
    )
    address: Text | None = Field(
        default=None, description="The cluster's address, as its own tools take it; by default that of this machine."
    )
    replicas: Replicas | None = Field(
        default=None, description="How many workers of a cluster have the model; by default as many as it has room for."
    )
    autoscaling: Bounds | None = Field(
        default=None,
        description="Workers as the cluster finds room for them, instead of `replicas`.",
        examples=[{"min_replicas": 1, "max_replicas": 8}],
    )
    gpus: Gpus | None = Field(
        default=None,
        description="GPUs of each worker of a cluster, or the part of one; by default 1 where the device is a GPU.",
        examples=[1, 0.5],
    )
    threads: Threads | None = Field(
        default=None,
        description="CPU threads of each worker; by default the artifact's, else 1 on a cluster, torch's choice here.",
    )

    def job(self) -> Job:
        """The job that the file describes; raises UsageError."""
        bounds = self.autoscaling
        return Job(
            artifact=self.artifact,
            inputs=self.input.paths,
            output=self.output.path,
            input_format=self.input.format,
            output_format=self.output.format,
            columns=self.input.map,
            keep=self.output.keep,
            params=self.params,
            settings=self.inference,
            outputs=self.outputs,
            where=self.input.where,
            limit=self.input.limit,
            sample=None if self.input.sample is None else share(self.input.sample),
            max_errors=None if self.max_errors is None else max_errors(self.max_errors),
            sizes=Sizes(self.output.part_rows, self.output.part_bytes),
            device=self.device,
            dtype=self.dtype,
            backend=self.backend,
            engine=self.engine,
            address=self.address,
            replicas=self.replicas,
            autoscaling=None if bounds is None else (bounds.min_replicas, bounds.max_replicas),
            gpus=self.gpus,
            threads=self.threads,
        )


def parse(document: dict[str, Any]) -> Batch:
    """The document, in plain values, as a typed batch; raises pydantic.ValidationError."""
    return Batch.model_validate(document)
