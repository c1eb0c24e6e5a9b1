"""A fleet file as typed, frozen values.

The JSON Schema of fleet files is generated from these models (hfspec.serving.fleet.schema). Rules over more than one
key are in hfspec.serving.fleet.rules.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, Strict, WithJsonSchema

from hfspec.ir.backends import BackendName
from hfspec.ir.dtypes import DtypeName
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.patterns import DEVICE_PATTERN, END, NAME_PATTERN, SHA256_PATTERN
from hfspec.ir.replica_keys import Bounds, Gpus, Replicas
from hfspec.ir.spec_keys import PROTOCOLS, Count, Endpoint, Frozen, Mapping, Seconds, Text, Threads, integral
from hfspec.serving.fleet.sizes import SIZE, SIZE_OR_NONE, size_in_bytes, size_or_none, size_text

FINGERPRINT_PATTERN = rf"^[0-9a-f]{{12,64}}{END}"
ALIAS_PATTERN = rf"^[A-Za-z0-9][A-Za-z0-9._:/-]{{0,190}}{END}"
VARIABLE_PATTERN = rf"^[A-Za-z_][A-Za-z0-9_]*{END}"
ORIGIN_PATTERN = rf"^(\*|https?://[^/\s*]+){END}"
ENDPOINT_PATTERN = rf"^https?://\S+{END}"

Whole: TypeAlias = Annotated[int, Field(ge=0), BeforeValidator(integral)]
Size: TypeAlias = Annotated[
    int, PlainValidator(size_in_bytes), PlainSerializer(size_text, when_used="json"), WithJsonSchema(SIZE)
]
SizeOrNone: TypeAlias = Annotated[
    int, PlainValidator(size_or_none), PlainSerializer(size_text, when_used="json"), WithJsonSchema(SIZE_OR_NONE)
]
Wait: TypeAlias = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Alias: TypeAlias = Annotated[
    str, Field(pattern=ALIAS_PATTERN, examples=["text-embedding-3-small", "sentence-transformers/all-MiniLM-L6-v2"])
]
Scope: TypeAlias = Literal["predict", "admin"]


class Limits(Frozen):
    """The most that one model takes. More is refused before memory is spent on it."""

    rows: Count = Field(default=10_000, description="Rows of one request; more are answered with 413.")
    queue_rows: Count = Field(
        default=20_000, description="Rows that wait for the model; a request that does not fit is answered with 429."
    )
    queue_tokens: Count = Field(
        default=4_000_000,
        description="Tokens that wait for the model; a request that does not fit is answered with 429.",
    )
    timeout: Seconds = Field(
        default=300.0,
        description="Seconds that a request may wait and run; a caller may ask for less, never for more.",
    )
    step_seconds: Seconds = Field(
        default=300.0,
        description="Seconds that one step of the model may take before its replica counts as wedged and is replaced.",
    )
    audio_seconds: Seconds = Field(default=1800.0, description="Seconds of audio in one row.")
    image_pixels: Count = Field(default=50_000_000, description="Pixels of one image.")
    memory: Size | None = Field(
        default=None,
        description="Memory of one replica, beyond which it is replaced once its work is done; unbounded if left out.",
        examples=["4GiB"],
    )
    prefix_cache: SizeOrNone = Field(
        default=64 << 20,
        description="Memory of one replica of a generator in which it keeps what the model made of the beginnings of "
        "prompts, for prompts that begin alike; 0 to keep nothing.",
        examples=["1GiB"],
    )


class Autoscaling(Bounds):
    """Between which bounds a cluster adds and removes replicas of a model, and by what."""

    requests: Annotated[float, Field(gt=0, allow_inf_nan=False)] = Field(
        default=16.0, description="Requests at a time for each replica, on average, that the number is chosen for."
    )
    up_seconds: Wait = Field(default=10.0, description="Seconds that more must be wanted before replicas are added.")
    down_seconds: Wait = Field(
        default=300.0, description="Seconds that fewer must be wanted before replicas are removed."
    )


class ModelEntry(Frozen):
    """One model of the fleet."""

    artifact: Text = Field(
        description="The artifact's folder, from the folder of the file that names it; from the current folder in an "
        "override.",
        examples=["build/minilm"],
    )
    aliases: Annotated[tuple[Alias, ...], Strict(False)] = Field(
        default=(),
        description="Other names that requests may call the model by; one with a slash stands in bodies only, not in "
        "addresses.",
        examples=[["text-embedding-3-small"]],
    )
    replicas: Replicas = Field(default=1, description="How many processes have the model.")
    autoscaling: Autoscaling | None = Field(
        default=None,
        description="Replicas by demand, instead of `replicas`; with `hfspec serve --engine ray` alone.",
        examples=[{"min_replicas": 1, "max_replicas": 8}],
    )
    gpus: Gpus | None = Field(
        default=None,
        description="GPUs of each replica, or the part of one; with `hfspec serve --engine ray` alone.",
        examples=[1, 0.5],
    )
    device: str | None = Field(
        default=None, pattern=DEVICE_PATTERN, description="The device, as torch names it; by default the artifact's."
    )
    threads: Threads | None = Field(
        default=None, description="CPU threads of each replica; by default the cores shared out among all replicas."
    )
    backend: BackendName | None = Field(
        default=None, description="What does the model's arithmetic; by default the artifact's."
    )
    dtype: DtypeName | None = Field(
        default=None, description="The dtype that the weights are cast to while loading; by default as stored."
    )
    inference: Mapping = Field(
        default=FrozenDict(),
        alias="model_config",
        description="Inference settings over those of the artifact.",
        examples=[{"top_k": 2}],
    )
    sources: Mapping = Field(
        default=FrozenDict(),
        description="Of an artifact that refers to its weights: role -> the folder that has them.",
        examples=[{"model": "/models/minilm"}],
    )
    trust_remote_code: bool = Field(
        default=False, description="Consent to run the reviewed Python files that the artifact carries."
    )
    urls_in_inputs: bool = Field(
        default=False,
        description="Whether images and audio may be given as http(s) addresses, which the server fetches; private "
        "addresses are refused all the same.",
    )
    expect_fingerprint: str | None = Field(
        default=None,
        pattern=FINGERPRINT_PATTERN,
        description="The fingerprint of the embedding space that the model must have, or its first 12 or more digits.",
    )
    signature_key: Text | None = Field(
        default=None,
        description="The public key, a file, that the artifact must be signed with; its signature lies beside it, in "
        "`<artifact>.sig`.",
    )
    limits: Limits = Field(default=Limits(), description="What the model takes at most.", examples=[{"rows": 256}])
    endpoints: Annotated[tuple[Endpoint, ...], Strict(False)] | None = Field(
        default=None,
        min_length=1,
        description=PROTOCOLS,
        examples=[["openai", "hfspec"]],
    )


class FleetModel(ModelEntry):
    """A model of the fleet under its name. ``artifact``, ``signature_key`` and the folders of ``sources`` are absolute
    once a fleet is loaded.
    """

    name: str = Field(pattern=NAME_PATTERN, description="What requests call the model by.")

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the aliases."""
        return (self.name, *self.aliases)


class Tls(Frozen):
    """The certificate that the server shows."""

    certificate: Text = Field(description="The certificate and its chain, a PEM file.")
    key: Text = Field(description="The certificate's private key, a PEM file.")


class ApiKey(Frozen):
    """One key that callers may have: its text or its sha256. A fleet that is loaded has the sha256 of each."""

    name: str = Field(pattern=NAME_PATTERN, description="Who has the key; it stands in logs and metrics.")
    key: Annotated[str, Field(min_length=16)] | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="The key itself, 16 characters or more; in a fleet file only as `${oc.env:NAME}`.",
    )
    sha256: str | None = Field(
        default=None, pattern=SHA256_PATTERN, description="The sha256 of the key in UTF-8, in hex, instead of `key`."
    )
    scopes: Annotated[tuple[Scope, ...], Strict(False)] = Field(
        default=("predict",),
        min_length=1,
        description="What the key may be used for: `predict` to ask models, `admin` to load, unload and reload them.",
    )


class ApiKeys(Frozen):
    """Where the API keys are; those of several places count together. A loaded fleet has them all in ``keys``."""

    file: Text | None = Field(
        default=None,
        description="A YAML file with the list of keys (docs/fleet.md); its owner alone should be able to read it.",
    )
    environment: str | None = Field(
        default=None,
        pattern=VARIABLE_PATTERN,
        description="An environment variable that holds the same list, in YAML or JSON.",
        examples=["HFSPEC_API_KEYS"],
    )
    keys: Annotated[tuple[ApiKey, ...], Strict(False)] = Field(
        default=(),
        description="Keys written here: by their sha256, or taken from the environment with `${oc.env:NAME}`.",
    )


class Cors(Frozen):
    """Which pages of other sites may call the server from a browser."""

    origins: Annotated[tuple[Annotated[str, Field(pattern=ORIGIN_PATTERN)], ...], Strict(False)] = Field(
        default=(),
        description="The origins allowed; `*` for any. None if left out.",
        examples=[["https://example.org"]],
    )


class ServerLimits(Frozen):
    """The most that the server takes, whatever the model."""

    body: Size = Field(default=64 << 20, description="Size of a request's body; more is answered with 413.")
    header: Size = Field(default=32 << 10, description="Size of a request's headers; more is answered with 431.")
    connections: Count = Field(default=1024, description="Connections at once; more wait until one is closed.")
    slow_client_seconds: Seconds = Field(
        default=30.0, description="Seconds without a byte after which a client that sends or reads is cut off."
    )


class Logs(Frozen):
    """The log on stderr."""

    format: Literal["text", "json"] = Field(default="text", description="Lines for a person, or JSON for a program.")
    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="The least level written.")
    access: bool = Field(default=False, description="A line for each request.")
    bodies: bool = Field(default=False, description="Whether lines about requests hold what was sent and answered.")


class Telemetry(Frozen):
    """Traces for OpenTelemetry; needs `pip install 'hfspec[serve-otel]'`."""

    endpoint: str = Field(
        pattern=ENDPOINT_PATTERN,
        description="Where spans are sent, by OTLP over HTTP.",
        examples=["http://localhost:4318/v1/traces"],
    )


class ServerSettings(Frozen):
    """The server itself: address, keys, limits."""

    host: Text = Field(default="127.0.0.1", description="The address to listen at; by default this machine alone.")
    port: Annotated[int, Field(ge=0, le=65_535), BeforeValidator(integral)] = Field(
        default=8000, description="The port; 0 for one that is free."
    )
    grpc_port: Annotated[int, Field(ge=0, le=65_535), BeforeValidator(integral)] | None = Field(
        default=None,
        description="Offer the Open Inference Protocol by gRPC at this port too, 0 for one that is free (extra "
        "`serve-grpc`).",
    )
    unix_socket: Text | None = Field(default=None, description="A Unix socket to listen at, instead of host and port.")
    tls: Tls | None = Field(default=None, description="HTTPS instead of HTTP.")
    api_keys: ApiKeys | None = Field(
        default=None, description="Keys that callers must give; none are asked if left out."
    )
    allow_anonymous: bool = Field(
        default=False,
        description="Whether a server without `api_keys` may listen beyond this machine, where whoever reaches it may "
        "use it.",
    )
    cors: Cors = Field(default=Cors(), description="Which pages of other sites may call the server.")
    limits: ServerLimits = Field(default=ServerLimits(), description="What the server takes at most.")
    grace: Seconds = Field(
        default=30.0, description="Seconds that requests in flight have to end once the server is told to stop."
    )
    logs: Logs = Field(default=Logs(), description="How the server logs.")
    metrics: bool = Field(default=True, description="Offer `/metrics`, for Prometheus.")
    page: bool = Field(default=True, description="Offer the page at `/`.")
    docs: bool = Field(default=True, description="Offer `/docs` and `/openapi.json`.")
    telemetry: Telemetry | None = Field(default=None, description="Send traces; none are sent if left out.")


def _named(value: object) -> object:
    """``{minilm: {artifact: …}}`` as a list of models with their names."""
    if not isinstance(value, dict | FrozenDict) or not all(isinstance(entry, dict) for entry in value.values()):
        raise ValueError("must be a mapping of names to mappings")
    if any("name" in entry for entry in value.values()):
        raise ValueError("a model has its name before its keys")
    return [{"name": name, **entry} for name, entry in value.items()]


class Fleet(Frozen):
    """The models of one server, and the server. In a file ``models`` is a mapping from names to entries."""

    models: Annotated[tuple[FleetModel, ...], Strict(False), BeforeValidator(_named)] = Field(
        min_length=1, description="The models by name."
    )
    server: ServerSettings = Field(default=ServerSettings(), description="The server itself.")

    def model(self, name: str) -> FleetModel | None:
        """The model of this name or alias; None when there is none."""
        return next((model for model in self.models if name in model.names), None)


def parse(document: dict[str, Any]) -> Fleet:
    """The document, in plain values, as a typed fleet; raises pydantic.ValidationError."""
    return Fleet.model_validate(document)
