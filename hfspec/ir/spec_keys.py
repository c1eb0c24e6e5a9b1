"""The keys of a spec that hold keys of their own, as typed, frozen values, and the types of its values."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    Strict,
    WithJsonSchema,
    create_model,
    model_validator,
)

from hfspec.ir.backends import BackendName
from hfspec.ir.dtypes import DtypeName
from hfspec.ir.frozen import FrozenDict, freeze, thaw
from hfspec.ir.patterns import (
    DEVICE_PATTERN,
    FOLDER_PATTERN,
    REVISION_PATTERN,
    SHA256_PATTERN,
)
from hfspec.ir.source_kinds import PLACES, SOURCE_KINDS, SourceKind


def integral(value: object) -> object:
    """JSON Schema counts 1.0 as an integer, so the models do too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _mapping(value: object) -> FrozenDict:
    if not isinstance(value, dict | FrozenDict):
        raise ValueError("must be a mapping")
    return FrozenDict(value)


# The conversion stands last, so that it is outermost: pydantic leaves out of the schema a limit set around it.
Dimension: TypeAlias = Annotated[int, Field(ge=-1), BeforeValidator(integral)]
Text: TypeAlias = Annotated[str, Field(min_length=1)]
AnyJson: TypeAlias = Annotated[Any, PlainValidator(freeze), PlainSerializer(thaw), WithJsonSchema({})]
Mapping: TypeAlias = Annotated[
    FrozenDict, PlainValidator(_mapping), PlainSerializer(thaw), WithJsonSchema({"type": "object"})
]
Sha256: TypeAlias = Annotated[str, Field(pattern=SHA256_PATTERN)]

Count: TypeAlias = Annotated[int, Field(ge=1), BeforeValidator(integral)]
Threads: TypeAlias = Annotated[int, Field(ge=1, le=1024), BeforeValidator(integral)]
Seconds: TypeAlias = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Endpoint: TypeAlias = Literal["openai", "rerank", "tei", "v2", "mlflow", "hfspec"]

ParamType: TypeAlias = Literal["string", "boolean", "integer", "long", "float", "double"]
ColumnType: TypeAlias = Literal[
    "string", "boolean", "integer", "long", "float", "double", "binary", "object", "array", "any"
]
TensorDtype: TypeAlias = Literal["float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"]


class Frozen(BaseModel):
    """The base of every part of a spec: strict, closed, immutable."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        protected_namespaces=(),
        regex_engine="python-re",
        defer_build=True,  # at the first document: a command builds the variant that it meets and no other
    )


def _given(key: str) -> dict[str, Any]:
    return {"required": [key], "properties": {key: {"not": {"type": "null"}}}}


def _when_given(key: str, then: list[str]) -> dict[str, Any]:
    return {"if": _given(key), "then": _given(then[0]) if len(then) == 1 else {"anyOf": [_given(one) for one in then]}}


REVISED = [kind.key for kind in SOURCE_KINDS.values() if kind.takes_revision]
# null counts as left out, so that a spec can take back what its base says.
EXACTLY_ONE_PLACE: dict[str, Any] = {
    "oneOf": [_given(key) for key in SOURCE_KINDS],
    **_when_given("revision", REVISED),
}
LIBRARY = "The library that runs the model."
PROTOCOLS = "The protocols that the model is offered by; by default all that fit its task."


def _field(kind: SourceKind) -> Any:
    arguments: dict[str, Any] = {"description": kind.description}
    arguments |= {"min_length": 1} if kind.pattern is None else {"pattern": kind.pattern}
    arguments |= {"examples": list(kind.examples)} if kind.examples else {}
    return str | None, Field(default=None, **arguments)


_Places: Any = create_model("_Places", __base__=Frozen, **{kind.key: _field(kind) for kind in SOURCE_KINDS.values()})


class Source(_Places):
    """Where bits come from: exactly one of the kinds of sources."""

    model_config = ConfigDict(json_schema_extra=EXACTLY_ONE_PLACE)

    revision: str | None = Field(
        default=None,
        pattern=REVISION_PATTERN,
        description="A commit, tag or branch of `repo`; quote it. Without it: `main`.",
        examples=["714eb0f", "main"],
    )

    @property
    def kind(self) -> SourceKind:
        """The kind that the source is of."""
        return next(kind for kind in SOURCE_KINDS.values() if getattr(self, kind.key) is not None)

    @property
    def location(self) -> str:
        """The value of the key that names the source."""
        return str(getattr(self, self.kind.key))

    @model_validator(mode="after")
    def _one_place(self) -> Source:
        if sum(getattr(self, key) is not None for key in SOURCE_KINDS) != 1:
            raise ValueError(f"exactly one of {PLACES}")
        if self.revision is not None and not self.kind.takes_revision:
            raise ValueError(f"revision goes with {', '.join(REVISED)} only")
        return self


class ModelSource(Source):
    """A source of a model."""

    file: str | None = Field(
        default=None,
        pattern=FOLDER_PATTERN,
        description="With `format: onnx`: the source's own graph, which is taken as it is (docs/onnx.md).",
        examples=["onnx/model.onnx"],
    )
    folder: str | None = Field(
        default=None,
        pattern=FOLDER_PATTERN,
        description="The folder of the source that is the model, where the source has several. `file` is its path from "
        "there.",
        examples=["cpu_and_mobile/cpu-int4-rtn-block-32-acc-level-4"],
    )


class ComponentSource(Source):
    """A component that differs from the model's own, with options for its constructor."""

    options: Mapping = Field(
        default=FrozenDict(),
        description="Settings of the component that override those stored with it, such as `model_max_length`.",
    )


class Components(Frozen):
    """The parts that come from elsewhere than the model's own source."""

    tokenizer: ComponentSource | None = Field(default=None, description="The tokenizer.")
    image_processor: ComponentSource | None = Field(default=None, description="The image processor.")
    feature_extractor: ComponentSource | None = Field(
        default=None, description="The feature extractor, for audio models."
    )
    processor: ComponentSource | None = Field(
        default=None,
        description="The processor of a speech model: feature extractor and tokenizer together, instead of the two.",
    )

    def given(self) -> tuple[tuple[str, ComponentSource], ...]:
        """Those that the spec names, with their sources."""
        components = ((name, getattr(self, name)) for name in type(self).model_fields)
        return tuple((name, component) for name, component in components if component is not None)

    def options(self, name: str) -> FrozenDict:
        """The options of a component: its own, or those of the processor that brings it."""
        component = getattr(self, name) or self.processor
        return component.options if component is not None else FrozenDict()


class Adapter(Source):
    """A PEFT adapter on top of the model."""

    merge: bool = Field(
        default=False, description="Merge the adapter's weights into the model's, so that peft is not needed to run."
    )
    allow_base_mismatch: Text | None = Field(
        default=None,
        description="Why an adapter whose declared base model differs from `model` is used all the same.",
    )


class Convert(Frozen):
    """The model as another library has it, made when the spec is compiled."""

    to: Literal["onnxruntime-genai"] = Field(description="The library that runs the model then.")
    precision: Literal["int4", "fp16", "fp32"] = Field(
        description="Of the weights: `fp32` and `fp16` numbers, or `int4` in blocks of 32."
    )
    execution_provider: Literal["cpu"] = Field(default="cpu", description="What the model is made to run on.")
    tolerance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="The largest part of the checked tokens that may be others than the original's (docs/onnx.md); 0 "
        "for `fp32` if left out, and without a limit otherwise.",
    )

    @property
    def most(self) -> float:
        """The largest part of the checked tokens that may be others than the original's."""
        default = 0.0 if self.precision == "fp32" else 1.0
        return default if self.tolerance is None else self.tolerance


PoolingMode: TypeAlias = Literal["mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"]


class Quantization(Frozen):
    """Weights in fewer bits than the graph of a model computes in."""

    method: Literal["dynamic-int8", "static-int8", "stored"] = Field(
        description="Matrices in 8 bits. `dynamic-int8`: what they are multiplied with as it comes; `static-int8`: by "
        "the range that it has over the examples in `calibration`; `stored`: as the graph in `model.file` is "
        "(docs/onnx.md)."
    )
    calibration: Text | None = Field(
        default=None,
        description="A file of examples, by its path from the spec's folder: an input in each line, as JSON, or a "
        "golden example. `static-int8` needs it; the answers to it are measured.",
        examples=["calibration.jsonl"],
    )
    tolerance: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How far an answer's numbers may lie from those of float32, over the largest of them where that is "
        "above 1; compile measures it, and refuses more. Without a limit if left out.",
    )


class Param(Frozen):
    """A parameter that callers may give to predict."""

    type: ParamType | None = Field(
        default=None, description="The parameter's type, as MLflow names it; by default that of `default`."
    )
    default: AnyJson = Field(description="The value when the caller gives none.")
    minimum: float | None = Field(default=None, allow_inf_nan=False, description="The least value allowed.")
    maximum: float | None = Field(default=None, allow_inf_nan=False, description="The greatest value allowed.")
    choices: Annotated[tuple[AnyJson, ...], Strict(False)] | None = Field(
        default=None, min_length=1, description="The only values allowed."
    )
    description: Text | None = Field(default=None, description="What the parameter does, for callers.")


class Column(Frozen):
    """One named field of an input or output row."""

    name: Text | None = Field(default=None, description="The column's name; leave out when there is only one.")
    type: ColumnType = Field(
        description="The column's type, as MLflow names it; an object or array has the fields of the task's own column."
    )
    required: bool = Field(default=True, description="Whether every row must have it.")


class Tensor(Frozen):
    """An array input or output."""

    dtype: TensorDtype = Field(description="The dtype of the elements.")
    shape: Annotated[tuple[Dimension, ...], Strict(False)] = Field(
        description="The shape; -1 for a dimension of any size, such as the rows.", examples=[[-1, 384]]
    )


class Signature(Frozen):
    """The inputs, outputs and params of predict; those left out are inferred from the task."""

    inputs: Annotated[tuple[Column, ...], Strict(False)] | None = Field(
        default=None, min_length=1, description="The columns of the input."
    )
    outputs: Annotated[tuple[Column, ...], Strict(False)] | None = Field(
        default=None, min_length=1, description="The columns of the output."
    )
    output_tensor: Tensor | None = Field(default=None, description="The output as an array, instead of `outputs`.")
    params: Annotated[
        FrozenDict,
        PlainValidator(lambda value: FrozenDict({k: _param(v) for k, v in _mapping(value).items()})),
        WithJsonSchema({"type": "object"}),
        PlainSerializer(lambda value: {k: v.model_dump(exclude_unset=True) for k, v in value.items()}),
    ] = Field(
        default=FrozenDict(),
        description="Settings that callers may give to predict: a default value, or type, default and limits.",
        examples=[{"temperature": 0.4, "max_new_tokens": {"type": "long", "default": 64, "maximum": 512}}],
    )


def _param(value: object) -> Param:
    """``0.4`` is short for ``{default: 0.4}``."""
    if isinstance(value, dict | FrozenDict):
        return Param.model_validate(thaw(value))
    if value is None or isinstance(value, tuple | list):
        raise ValueError("a default must be a string, number or boolean")
    return Param(default=value)


class Golden(Frozen):
    """An example with the answer it must get."""

    input: AnyJson = Field(description="What predict is given.")
    output: AnyJson = Field(description="The answer that must come back, in the form that `outputs` says.")
    params: Mapping = Field(default=FrozenDict(), description="The params predict is given.")
    tolerance: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Largest absolute difference of numbers; by dtype if unset (docs/golden.md).",
    )


LICENCE_LIST = Annotated[tuple[Text, ...], Strict(False)]


class LicensePolicy(Frozen):
    """Which licences the sources may declare: exactly one of a list of those allowed and a list of those refused."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_given("allow"), _given("deny")]})

    allow: LICENCE_LIST | None = Field(
        default=None,
        min_length=1,
        description="The only licences allowed, by the hub's identifiers; `*` stands for any letters. A source that "
        "declares none is refused unless `undeclared` is among them.",
        examples=[["apache-2.0", "mit", "bsd-*"]],
    )
    deny: LICENCE_LIST | None = Field(
        default=None,
        min_length=1,
        description="The licences refused; a source that declares none is, too, where `undeclared` is among them.",
        examples=[["cc-by-nc-*", "other"]],
    )

    @model_validator(mode="after")
    def _one_list(self) -> LicensePolicy:
        if (self.allow is None) == (self.deny is None):
            raise ValueError("exactly one of allow, deny")
        return self


class ReviewedFile(Frozen):
    """A file of remote code that somebody has read."""

    path: Text = Field(description="The file's path inside the source.")
    sha256: Sha256 = Field(description="The digest of the file that was reviewed.")


class Runtime(Frozen):
    """Where the model is put when the artifact is loaded, unless who loads it says otherwise."""

    device: str | None = Field(
        default=None,
        pattern=DEVICE_PATTERN,
        description="The device, as torch names it; `auto`, a GPU where there is one, if left out.",
        examples=["cpu", "cuda:0"],
    )
    device_map: Literal["auto", "balanced", "balanced_low_0", "sequential"] | None = Field(
        default=None,
        description="Spread a model of transformers over all GPUs and the CPU by this rule of the package accelerate, "
        "instead of `device`.",
    )
    threads: Threads | None = Field(
        default=None, description="How many CPU threads torch uses in the process that loads the artifact."
    )
    backend: BackendName = Field(
        default="auto",
        description="What does the model's arithmetic on a CPU: torch's own choice, the oneDNN that torch has in it, "
        "or OpenVINO, which converts an encoder at each load. `auto`: oneDNN for float32 and bfloat16 with "
        "AVX-512, where it was measured to be faster, whoever made the processor, else torch.",
    )
    compute_dtype: DtypeName | None = Field(
        default=None,
        description="The dtype that torch computes in, to which a load casts the weights; that of the weights if left "
        "out. `auto`: float32 on a CPU where products in the weights' 16 bits are measured to be slower, which takes "
        "twice the memory, else as the weights are.",
        examples=["float32"],
    )

    def computed_dtype(self, stored: str) -> str:
        """The dtype that a load casts weights of the dtype ``stored`` to where nothing is measured."""
        return stored if self.compute_dtype in (None, "auto") else str(self.compute_dtype)


class ServingLimits(Frozen):
    """Limits on one request to a server, unless its fleet file says otherwise."""

    rows: Count | None = Field(default=None, description="Rows of one request.", examples=[256])
    timeout: Seconds | None = Field(default=None, description="Seconds that a request may wait and run.", examples=[60])


class Serving(Frozen):
    """How the model is served, unless the fleet file of `hfspec serve` says otherwise."""

    limits: ServingLimits = Field(default=ServingLimits(), description="What a server takes of one request.")
    endpoints: Annotated[tuple[Endpoint, ...], Strict(False)] | None = Field(
        default=None,
        min_length=1,
        description=PROTOCOLS,
        examples=[["openai", "hfspec"]],
    )

    def stated(self) -> FrozenDict:
        """The keys that the spec sets; empty where it sets none."""
        document = self.model_dump(mode="json", exclude_none=True)
        return FrozenDict({key: value for key, value in document.items() if value})
