"""The Arrow type of one row's answer, for each task and form of output."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import pyarrow as pa

from hfspec.ir.signature import Column, Tensor
from hfspec.settings.precedence import Settings
from hfspec.tasks import labels
from hfspec.tasks.task import Task

TEXT, NUMBER, COUNT, YES = pa.string(), pa.float64(), pa.int64(), pa.bool_()
ERROR = pa.struct([("kind", TEXT), ("message", TEXT)])
_PLAIN = MappingProxyType(
    {
        "string": TEXT,
        "boolean": YES,
        "integer": pa.int32(),
        "long": COUNT,
        "float": pa.float32(),
        "double": NUMBER,
        "binary": pa.binary(),
    }
)


def type_of(column: Column) -> Any:
    """The Arrow type of a column of the signature; JSON text for what may hold anything."""
    if column.type in _PLAIN:
        return _PLAIN[column.type]
    if column.type == "array" and column.item is not None and column.fields:
        return pa.list_(type_of(column.item))
    if column.type == "object" and column.fields:
        return pa.struct([pa.field(str(one.name), type_of(one)) for one in column.fields])
    return TEXT


def vector(tensor: Tensor) -> Any:
    """The type of one row of an array: a list of fixed size where the width is known."""
    number, width = pa.from_numpy_dtype(tensor.dtype), tensor.shape[-1]
    return pa.list_(number, width) if width > 0 else pa.list_(number)


LABELS = [("labels", pa.list_(TEXT)), ("scores", pa.list_(NUMBER))]
LABELLED = pa.struct([("label", TEXT), ("score", NUMBER)])
_GENERATED = pa.struct(
    [
        ("text", TEXT),
        ("prompt", TEXT),
        ("prompt_tokens", COUNT),
        ("completion_tokens", COUNT),
        ("finish_reason", TEXT),
    ]
)
_TRANSLATED = pa.struct([*_GENERATED, ("src_lang", TEXT), ("tgt_lang", TEXT)])
_SPAN = [("answer", TEXT), ("score", NUMBER), ("start", COUNT), ("end", COUNT)]
_ENTITY = [("entity", TEXT), ("entity_group", TEXT), ("score", NUMBER), ("word", TEXT)]
_ENTITY += [(name, COUNT) for name in ("index", "start", "end")]
_FILLED = pa.struct([("score", NUMBER), ("token", COUNT), ("token_str", TEXT), ("sequence", TEXT)])
_EMBEDDED = [("tokens", COUNT), ("truncated", YES), ("fingerprint", TEXT)]
_SCORED = [("score", NUMBER), ("scores", pa.list_(NUMBER)), ("tokens", COUNT), ("truncated", YES)]
_RANKED = pa.struct([("corpus_id", COUNT), *_SCORED, ("text", TEXT)])
_CHUNK = pa.struct([("text", TEXT), ("timestamp", pa.list_(NUMBER))])


def _embedding(tensor: Tensor) -> Any:
    return pa.struct([("embedding", vector(tensor)), *_EMBEDDED])


def _features(tensor: Tensor) -> Any:
    offsets = pa.list_(pa.list_(COUNT))
    return pa.struct([("features", pa.list_(vector(tensor))), ("tokens", pa.list_(TEXT)), ("offsets", offsets)])


Fields: TypeAlias = tuple[tuple[str, Any], ...]
# (library, task) -> the columns of one row's standard output, where the signature speaks of several lines a row.
STANDARD_FIELDS: Mapping[tuple[str, str], Fields] = MappingProxyType(
    {
        ("transformers", "zero-shot-classification"): (("sequence", TEXT), *LABELS),
        ("sentence-transformers", "sparse-embedding"): (
            ("indices", pa.list_(COUNT)),
            ("values", pa.list_(pa.float32())),
        ),
    }
)
# (library, task) -> what one row of its array is, where it is neither an embedding nor scores.
ARRAY_FIELDS: Mapping[tuple[str, str], Callable[[Tensor], Fields]] = MappingProxyType(
    {("transformers", "feature-extraction"): lambda outputs: (("features", pa.list_(vector(outputs))),)}
)
# (library, task) -> the type of the full output of one row; of an array, made from what the signature says of it.
FULL_TYPES: Mapping[tuple[str, str], Any | Callable[[Tensor], Any]] = MappingProxyType(
    {
        ("transformers", "text-classification"): pa.struct([*LABELS, ("tokens", COUNT)]),
        ("transformers", "audio-classification"): pa.struct([*LABELS, ("seconds", NUMBER), ("truncated", YES)]),
        ("transformers", "image-classification"): pa.struct([*LABELS, ("width", COUNT), ("height", COUNT)]),
        ("transformers", "zero-shot-classification"): pa.struct([("sequence", TEXT), *LABELS]),
        ("transformers", "token-classification"): pa.struct([("entities", pa.list_(pa.struct(_ENTITY)))]),
        ("transformers", "fill-mask"): pa.struct([("masks", pa.list_(pa.list_(_FILLED))), ("tokens", COUNT)]),
        ("transformers", "feature-extraction"): _features,
        ("transformers", "question-answering"): pa.struct(
            [*_SPAN, ("answers", pa.list_(pa.struct(_SPAN))), ("windows", COUNT)]
        ),
        ("transformers", "table-question-answering"): pa.struct(
            [
                ("answer", TEXT),
                ("coordinates", pa.list_(pa.list_(COUNT))),
                ("cells", pa.list_(TEXT)),
                ("scores", pa.list_(NUMBER)),
                ("aggregator", TEXT),
                ("tokens", COUNT),
                ("truncated", YES),
            ]
        ),
        ("transformers", "automatic-speech-recognition"): pa.struct(
            [("text", TEXT), ("chunks", pa.list_(_CHUNK)), ("seconds", NUMBER), ("language", TEXT)]
        ),
        ("transformers", "text-generation"): _GENERATED,
        ("transformers", "text2text-generation"): _GENERATED,
        ("transformers", "summarization"): _GENERATED,
        ("transformers", "translation"): _TRANSLATED,
        ("transformers", "conversational"): _GENERATED,
        ("onnxruntime-genai", "text-generation"): _GENERATED,
        ("sentence-transformers", "feature-extraction"): _embedding,
        ("sentence-transformers", "sparse-embedding"): pa.struct(
            [
                ("indices", pa.list_(COUNT)),
                ("values", pa.list_(pa.float32())),
                ("dimension", COUNT),
                ("terms", pa.list_(pa.struct([("token", TEXT), ("weight", NUMBER)]))),
                *_EMBEDDED,
            ]
        ),
        ("sentence-transformers", "sentence-similarity"): pa.struct(
            [
                ("score", NUMBER),
                ("scores", pa.list_(NUMBER)),
                ("similarity", TEXT),
                ("tokens", pa.list_(COUNT)),
                ("truncated", pa.list_(YES)),
            ]
        ),
        ("sentence-transformers", "text-ranking"): pa.struct(
            [("labels", pa.list_(TEXT)), *_SCORED, ("ranking", pa.list_(_RANKED))]
        ),
    }
)


def standard_fields(
    task: Task, outputs: tuple[Column, ...] | Tensor, settings: Settings, given: Collection[str]
) -> Fields:
    """The names and types of the columns that the standard output of one row has.

    Args:
        task: The task.
        outputs: What the signature declares under these settings.
        settings: Those of the call: with some of them a row has several answers.
        given: The task's input columns that the rows have; a query with documents has as many scores as these.
    """
    if isinstance(outputs, Tensor):
        features = ARRAY_FIELDS.get((task.library, task.name))
        return features(outputs) if features else _array_fields(task, outputs, given)
    if outputs == labels.OUTPUTS and settings.get("top_k", 1) != 1:
        return (("labels", pa.list_(LABELLED)),)
    if (task.library, task.name) in STANDARD_FIELDS:
        return STANDARD_FIELDS[task.library, task.name]
    several = int(settings.get("num_return_sequences") or 1) > 1
    if len(outputs) == 1 and outputs[0].name is None:
        kind = type_of(outputs[0])
        return (("answer", pa.list_(kind) if several else kind),)
    return tuple((str(column.name), type_of(column)) for column in outputs)


def full_fields(task: Task, outputs: tuple[Column, ...] | Tensor, settings: Settings) -> Fields:
    """The name and type of the one column that the full output has: a struct, JSON text where the task has no type."""
    found = FULL_TYPES.get((task.library, task.name))
    kind = found(outputs) if callable(found) and isinstance(outputs, Tensor) else found
    if kind is None or callable(kind):
        return (("answer", TEXT),)
    several = int(settings.get("num_return_sequences") or 1) > 1
    return (("answer", pa.list_(kind) if several else kind),)


def _array_fields(task: Task, outputs: Tensor, given: Collection[str]) -> Fields:
    if task.embeds:
        return (("embedding", vector(outputs)),)
    number = pa.from_numpy_dtype(outputs.dtype)
    one = vector(outputs) if len(outputs.shape) > 1 else number
    if {"documents", "sentences"} & set(given):
        return (("scores", pa.list_(one)),)
    return (("score", number),) if one == number else (("scores", one),)
