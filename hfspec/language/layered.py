"""The spec language as people write it in layers: a file with ``defaults:`` may leave out what its base says.

The models are those of hfspec.ir.spec and spec_keys with no key required but ``defaults``. Only editors and the schema
see such a document; what the compiler checks is the composed one.
"""

from __future__ import annotations

from copy import copy
from functools import cache
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, Field, PlainValidator, Strict, WithJsonSchema, create_model

from hfspec.ir import spec_keys as keys
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.spec import Spec
from hfspec.tasks.libraries import LIBRARIES


def _entry(value: object) -> object:
    """``_self_``, ``/_base/text``, or ``{group: option}`` with an option, options, or none."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, dict) and len(value) == 1 and all(_option(option) for option in value.values()):
        return FrozenDict(value)
    raise ValueError("must be a config's name or one `group: option`")


def _option(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(isinstance(item, str) for item in value)
    return value is None or isinstance(value, str)


Entry = Annotated[
    Any,
    PlainValidator(_entry),
    WithJsonSchema(
        {
            "type": ["string", "object"],
            "minLength": 1,
            "minProperties": 1,
            "maxProperties": 1,
            "additionalProperties": {"type": ["string", "null", "array"], "items": {"type": "string"}},
        }
    ),
]
DEFAULTS = Field(
    min_length=1,
    description="Hydra's defaults list: the configs this one is laid over, in order, with `_self_` for itself.",
    examples=[["/_base/text-classification", "_self_"]],
)


@cache
def layered_model(model: type[BaseModel]) -> type[BaseModel]:
    """The model with every key optional, at any depth."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        waived = copy(info)
        if waived.is_required():
            waived.default = None
        waived.annotation = _waived(info.annotation)
        fields[name] = (waived.annotation, waived)
    if model is keys.Signature:
        fields["params"] = (_PARAMS, copy(model.model_fields["params"]))
    built: type[BaseModel] = create_model(
        f"Layered{model.__name__}", __base__=keys.Frozen, __doc__=model.__doc__, **fields
    )
    return built


def _waived(annotation: Any) -> Any:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return layered_model(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return Annotated[(_waived(arguments[0]), *arguments[1:])]
    if origin is tuple:
        return tuple[tuple(_waived(argument) for argument in arguments)]  # type: ignore[misc]
    if type(None) in arguments and len(arguments) == 2:
        return _waived(arguments[0]) | None
    return annotation


def _params(value: object) -> FrozenDict:
    if not isinstance(value, dict):
        raise ValueError("must be a mapping")
    return FrozenDict({key: _param(item) for key, item in value.items()})


def _param(value: object) -> object:
    if isinstance(value, dict):
        return layered_model(keys.Param).model_validate(thaw(value))
    return keys.Param(default=keys._param(value).default)  # noqa: SLF001 - the shorthand is defined there, once


_PARAMS = Annotated[FrozenDict, PlainValidator(_params), WithJsonSchema({"type": "object"})]


@cache
def layered_spec() -> type[BaseModel]:
    """A layered document: the keys of a spec, and ``defaults``."""
    library = Annotated[str, WithJsonSchema({"enum": list(LIBRARIES)}), PlainValidator(_library)]
    fields: dict[str, Any] = {"library": (library, Field(default="", description=keys.LIBRARY))}
    defaults = Annotated[tuple[Entry, ...], Strict(strict=False)]
    base = layered_model(Spec)
    return create_model(
        "LayeredSpec",
        __base__=base,
        __doc__="A spec laid over others; what it leaves out, they say.",
        defaults=(defaults, DEFAULTS),
        **fields,
    )


def _library(value: object) -> object:
    if not isinstance(value, str) or value not in LIBRARIES:
        raise ValueError("must name a library")
    return value
