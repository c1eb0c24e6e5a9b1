"""``config.json`` as a value of the library, without running anything a checkpoint brings along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.errors import SpecError
from hfspec.formats.extents import extent_faults
from hfspec.formats.loading_options import IMPLEMENTATION_KEYS
from hfspec.formats.quantisation import without_quantisation
from hfspec.integrity.trust import ADAPTER, OTHER_WEIGHTS
from hfspec.ir.problem import Problem

# Never handed to the library: what they ask for is decided by hfspec.
WITHHELD = ("auto_map", "custom_pipelines", *IMPLEMENTATION_KEYS)


def library_config(files: SourceFiles, folder: str = "", *, is_code: bool = False) -> Any:
    """The library's config object for the checkpoint in ``folder`` of the source. ``is_code``: its class is code of the
    checkpoint's own, which is not run; what every config has is read all the same.

    Raises SpecError when there is no config.json, when the library has no class for its model_type (remote code is
    never run), or when its values are not what that class takes.
    """
    raw = raw_config(files, folder)
    from transformers import PreTrainedConfig
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = raw.get("model_type")
    if not (isinstance(model_type, str) and model_type in CONFIG_MAPPING) and not is_code:
        raise _unknown_type(files, raw)
    faults = tuple(dangers(files, raw))
    if faults:
        raise SpecError(faults)
    withheld = (*WITHHELD, "model_type") if is_code else WITHHELD
    values = {key: value for key, value in without_quantisation(raw).items() if key not in withheld}
    try:
        return (PreTrainedConfig if is_code else CONFIG_MAPPING[model_type]).from_dict(values)
    except Exception as error:
        raise files.refusal(
            "broken-checkpoint", f"the library refuses {folder}config.json as a {model_type} config: {error}"
        ) from error


def raw_config(files: SourceFiles, folder: str = "") -> dict[str, Any]:
    """The content of config.json; raises SpecError when the source has none, or when it asks for more than can be."""
    path = f"{folder}config.json"
    if files.has(path):
        refuse_extents(files, path)
        return files.json(path)
    if any(PurePosixPath(name).name == ADAPTER for name in files.paths):
        raise files.refusal(
            "not-a-checkpoint",
            "the source holds a PEFT adapter and no model",
            remedy="name the base model here",
        )
    raise files.refusal("not-a-checkpoint", f"the source has no {path}, so transformers cannot read it as a checkpoint")


def refuse_extents(files: SourceFiles, path: str) -> None:
    """Raises SpecError when a config.json has numbers with which the library would be busy for ever; it reads the
    config for the tokenizer and the processors too.
    """
    problems = [
        files.problem(
            "broken-checkpoint",
            f"{path} sets {key} to what no model has; making one of it would take all time and memory",
            found=str(value),
            expected=f"at most {most}",
        )
        for key, value, most in extent_faults(files.json(path))
    ]
    if problems:
        raise SpecError(tuple(problems))


def dangers(files: SourceFiles, raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Keys, at any depth, that would make the library download code and run it, or read other weights."""
    for where, value in _walk(raw):
        name = where.rpartition(".")[2]
        if name in IMPLEMENTATION_KEYS and any("/" in text for text in _texts(value)):
            yield files.problem(
                "remote-code",
                f"config.json sets {where}, with which the library downloads a kernel from the hub and runs it",
                found=repr(value),
                remedy="use a checkpoint whose config.json does not set it",
            )
        elif name == OTHER_WEIGHTS:
            yield files.problem(
                "broken-checkpoint",
                f"config.json sets {where}, which makes the library read weights that hfspec does not look at",
                found=repr(value),
                remedy="name the weights model.safetensors and take the key out",
            )


def _unknown_type(files: SourceFiles, raw: Mapping[str, Any]) -> SpecError:
    model_type = raw.get("model_type")
    if "auto_map" in raw:
        return files.refusal(
            "remote-code",
            "the library has no class for the checkpoint's model_type, and its auto_map names no AutoConfig either",
            found=repr(model_type),
            remedy="use a checkpoint of an architecture that the library itself has",
        )
    from transformers import __version__

    return files.refusal(
        "unknown-architecture",
        "config.json has no model_type" if model_type is None else "the library does not know the model_type",
        found="" if model_type is None else repr(model_type),
        expected=f"a model_type of transformers {__version__}",
    )


def _walk(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        place = f"{where}.{key}" if where else str(key)
        yield place, item
        yield from _walk(item, place)


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value.values() if isinstance(item, str)) if isinstance(value, Mapping) else ()
