"""The spec as a typed, frozen value, of whichever library.

The JSON Schema is generated from this model and the tables of libraries and tasks (hfspec.language.schema); both accept
and refuse the same documents. hfspec.language.model and hfspec.stages.validate check what needs more than one key to
decide, or knowledge of a library or task.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, Strict

from hfspec.ir.dtypes import DtypeName
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.patterns import NAME_PATTERN, SIZE_PATTERN
from hfspec.ir.spec_keys import (
    LIBRARY,
    Adapter,
    AnyJson,
    Components,
    Convert,
    Frozen,
    Golden,
    LicensePolicy,
    Mapping,
    ModelSource,
    PoolingMode,
    Quantization,
    ReviewedFile,
    Runtime,
    Serving,
    Signature,
    Text,
    integral,
)


def _version(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a whole number")
    return integral(value)


class Spec(Frozen):
    """The keys of a spec."""

    spec_version: Annotated[Literal[1], BeforeValidator(_version)] = Field(
        description="The version of the spec language."
    )
    name: str | None = Field(
        default=None,
        pattern=NAME_PATTERN,
        description="The deployment's name; by default the spec file's stem.",
        examples=["sentiment-v2"],
    )
    task: Text = Field(
        description="The task, by the name the field uses; aliases such as `sentiment-analysis` and `ner` work.",
        examples=["text-classification", "text-generation", "feature-extraction"],
    )
    model: ModelSource = Field(description="The checkpoint: exactly one of repo, path, package.")
    components: Components = Field(default=Components(), description="Only what differs from the model's own source.")
    adapter: Adapter | None = Field(default=None, description="A PEFT adapter on top of the model.")
    convert: Convert | None = Field(
        default=None,
        description="Make a model of another library of the checkpoint, which then answers without torch.",
        examples=[{"to": "onnxruntime-genai", "precision": "int4"}],
    )
    allow_architecture_mismatch: Text | None = Field(
        default=None,
        description="Why a checkpoint whose `architectures` name another head than the task's is used all the same.",
    )
    prompt_template: Text | None = Field(
        default=None,
        description="A text around each prompt. `{prompt}` is the prompt itself; any other slot, such as `{question}`, "
        "is filled from the input column of its name. Write literal braces twice: `{{` and `}}`.",
        examples=["Classify: {prompt}", "Context: {context}\nQuestion: {question}\nAnswer:"],
    )
    inference: Mapping = Field(
        default=FrozenDict(),
        alias="model_config",
        description="Inference settings for every call; predict cannot change them unless signature.params says so.",
        examples=[{"top_k": 2}],
    )
    signature: Signature = Field(
        default=Signature(), description="What predict takes and gives; inferred from the task where left out."
    )
    dtype: DtypeName = Field(
        default="auto", description="The dtype of the weights: `auto` keeps what is stored, any other casts."
    )
    format: Literal["safetensors", "onnx"] = Field(
        default="safetensors",
        description="What the model is in the artifact: `safetensors`, computed by torch; `onnx`, a graph that compile "
        "makes of the weights, computed by ONNX Runtime without torch.",
    )
    pooling: PoolingMode | None = Field(
        default=None,
        description="How the vectors of tokens become one of a text, for a checkpoint without a modules.json that says "
        "it: a mode of Pooling in sentence-transformers.",
        examples=["mean"],
    )
    quantization: Quantization | None = Field(
        default=None,
        description="Fewer bits for the weights of a model in `onnx`.",
        examples=[{"method": "dynamic-int8", "tolerance": 0.05}],
    )
    save_mode: Literal["full", "reference"] = Field(
        default="full", description="`full`: weights in the artifact; `reference`: a pinned pointer to them."
    )
    max_shard_size: str = Field(
        default="5GB",
        pattern=SIZE_PATTERN,
        examples=["5GB", "500MB"],
        description="Weight files larger than this are written as several; smaller ones are kept as they are.",
    )
    outputs: Literal["standard", "full"] = Field(
        default="standard",
        description="What predict returns unless told otherwise: the task's standard form, or all the model knows.",
    )
    input_example: AnyJson = Field(
        default=None, description="An input that predict answers; the compiler runs it and stores it beside the model."
    )
    golden: Annotated[tuple[Golden, ...], Strict(False)] = Field(
        default=(), description="Examples with the answers they must get, checked by compile and `verify --run`."
    )
    trust_remote_code: Annotated[
        tuple[ReviewedFile, ...],
        BeforeValidator(lambda value: () if value is False else value),
        Strict(False),
    ] = Field(
        default=(),
        description="`false`, or exactly the files of remote code that were reviewed, each with its digest.",
    )
    license_policy: LicensePolicy | None = Field(
        default=None,
        description="Which licences the cards of the model, its components and its adapter may declare; checked by "
        "plan and compile.",
    )
    runtime: Runtime = Field(
        default=Runtime(),
        description="Where the model is put when the artifact is loaded.",
        examples=[{"device": "cpu", "threads": 2}],
    )
    serving: Serving = Field(
        default=Serving(),
        description="What `hfspec serve` offers and takes, unless the fleet file says otherwise.",
        examples=[{"limits": {"rows": 256, "timeout": 60}, "endpoints": ["openai", "hfspec"]}],
    )
    metadata: Mapping = Field(default=FrozenDict(), description="Free-form, carried along.")
    library: Text = Field(description=LIBRARY)

    @property
    def answering(self) -> str:
        """The library that answers: the one that the model is converted to, else its own."""
        return self.library if self.convert is None else self.convert.to


def dump(spec: Spec) -> dict[str, Any]:
    """The spec as plain JSON values, only what was set, in the models' order of keys."""
    return spec.model_dump(mode="json", by_alias=True, exclude_unset=True)
