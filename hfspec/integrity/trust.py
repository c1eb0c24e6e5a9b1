"""Settings that no artifact of hfspec holds, however right its digests are: with these a library would fetch or run
code, apply an adapter, or read files elsewhere.

The compiler refuses them too. This is for artifacts that something else made.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from hfspec.errors import VerificationError
from hfspec.formats import adapter_config
from hfspec.formats.extents import extent_faults
from hfspec.formats.loading_options import (
    IMPLEMENTATION_KEYS,
    LOADING_OPTIONS,
    foreign,
    handed_on_faults,
)
from hfspec.formats.module_kinds import RUN
from hfspec.formats.sentence_modules import TRANSFORMER_CONFIGS, is_torchs_own
from hfspec.integrity.paths import folded
from hfspec.ir.artifact import FORMS, PARTS, Deployment, Manifest
from hfspec.ir.dtypes import BY_TORCH_NAME
from hfspec.ir.weight_index import leads_out
from hfspec.sources.small import LARGEST
from hfspec.tasks.prompt_template import prompt_template
from hfspec.tasks.weight_formats import WEIGHT_FORMATS, library_of

ACTIVATION = "activation_function"
OTHER_WEIGHTS = "transformers_weights"
ADAPTER = adapter_config.CONFIG
PICKLES = (".bin", ".pkl", ".pickle", ".pt", ".pth")
# A processor's config, or a file beside it, that names a model which the library loads with the processor.
AUDIO_TOKENIZERS = frozenset({"audio_tokenizer", "audio_tokenizer_config.json"})
PROCESSOR_CONFIG = "processor_config.json"
MODULES = "modules.json"
EXECUTABLE = (".py", ".pyc", ".pyd", ".pyi", ".pyo", ".so", ".dll", ".dylib")
CLASS_PLACE = re.compile(r"((?:model|components/\w+)/(?:[\w.-]+/)*[A-Za-z_]\w*\.py):[A-Za-z_]\w*")
CLASS_PARTS = frozenset({"config", "model", "tokenizer", "feature_extractor", "image_processor", "processor"})
INDEX = ".safetensors.index.json"


def check_trust(root: Path, manifest: Manifest) -> None:
    """Refuse an artifact that holds what no artifact does.

    Args:
        root: The artifact's folder.
        manifest: Its manifest.

    Raises:
        VerificationError: The message names each file and what is in it.
    """
    faults = [*_deployment_faults(manifest), *_adapters(manifest), *_code_faults(manifest)]
    for record in manifest.files:
        place = folded(record.path)  # as a file system without case has it, where it is read under that name too
        name = PurePosixPath(place).name
        if place.startswith(("adapter/", *PARTS)) and name.endswith(".json"):
            faults += [(record.path, fault) for fault in _file_faults(name, root / record.path)]
    if faults:
        lines = "\n".join(f"  {path}: {fault}" for path, fault in faults)
        raise VerificationError(
            f"{root} is not loaded, since it holds what no artifact of hfspec does:\n{lines}",
            sorted({path for path, _ in faults}),
        )


def _deployment_faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for component, options in manifest.deployment.options.items():
        loading_options = sorted(LOADING_OPTIONS & set(options)) if isinstance(options, Mapping) else ["(no mapping)"]
        if loading_options:
            yield (
                "artifact.json",
                f"options of the {component} that decide how it is loaded: {', '.join(loading_options)}",
            )
    yield from (("artifact.json", fault) for fault in _value_faults(manifest.deployment))
    library = library_of(manifest.deployment)
    if library is not None:  # a load refuses any other
        yield from library.part("trust")(manifest)


def _value_faults(deployment: Deployment) -> Iterator[str]:
    """Values of the right type that mean nothing."""
    if deployment.dtype not in BY_TORCH_NAME:
        yield f"{deployment.dtype!r} as the dtype of its weights, which is not one"
    if deployment.format not in WEIGHT_FORMATS:
        yield f"{deployment.format!r} as the format of its weights, which is one of {', '.join(WEIGHT_FORMATS)}"
    if deployment.outputs not in FORMS:
        yield f"{deployment.outputs!r} as the form of its answers, which is one of {' and '.join(FORMS)}"
    try:
        if deployment.prompt_template is not None:
            prompt_template(deployment.prompt_template)
    except ValueError as fault:
        yield f"a prompt template that cannot be read: {fault}"


def _code_faults(manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Classes of reviewed code that are none, and files of code that no class accounts for."""
    paths = {record.path for record in manifest.files}
    for part, place in manifest.code.items():
        match = CLASS_PLACE.fullmatch(place) if isinstance(place, str) else None
        if part not in CLASS_PARTS or match is None or match.group(1) not in paths:
            yield "artifact.json", f"{place!r} as the code of its {part}, which names no class in a file of it"
    for path in sorted(paths):
        is_reviewed = bool(manifest.code) and path.endswith(".py")
        if folded(path).startswith(PARTS) and folded(path).endswith(EXECUTABLE) and not is_reviewed:
            yield path, "a file of code, which the spec that it was compiled from does not list as reviewed"


def _adapters(manifest: Manifest) -> Iterator[tuple[str, str]]:
    paths = {folded(record.path): record.path for record in manifest.files}
    for place, path in paths.items():
        if place.startswith("model/") and PurePosixPath(place).name == ADAPTER:
            yield path, "an adapter, which the library would apply, or follow to a base model elsewhere"
        if place.startswith("adapter/") and PurePosixPath(place).suffix in PICKLES:
            yield path, "pickled weights, which an adapter has none of"
    if f"adapter/{ADAPTER}" in paths and f"adapter/{adapter_config.WEIGHTS}" not in paths:
        yield f"adapter/{ADAPTER}", f"an adapter without {adapter_config.WEIGHTS}, which peft would look for elsewhere"


def _file_faults(name: str, path: Path) -> Iterator[str]:
    size = _size(path)
    if size > LARGEST:
        yield f"{size} bytes of JSON, which is read whole up to {LARGEST} bytes"
    elif name == "config.json":
        yield from _config_faults(_parsed(path))
    elif name == ADAPTER:
        yield from adapter_config.faults(_parsed(path))
    elif name in AUDIO_TOKENIZERS or (
        name == PROCESSOR_CONFIG and AUDIO_TOKENIZERS & {key for key, _ in _walk(_parsed(path))}
    ):
        yield "an audio tokenizer, which is a model elsewhere"
    elif name in TRANSFORMER_CONFIGS:
        yield from handed_on_faults(_parsed(path))
    elif name == MODULES:
        yield from _module_faults(_parsed(path))
    elif name.endswith(INDEX):
        yield from _index_faults(_parsed(path))


def _size(path: Path) -> int:
    """In bytes; 0 where it is gone by now, which the check of what changed while it was loaded says."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _parsed(path: Path) -> Any:
    """None where it is no JSON, which the library says better when it reads it."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _config_faults(config: Any) -> Iterator[str]:
    for key, value in _walk(config):
        if key in IMPLEMENTATION_KEYS:
            for text in foreign(value):
                yield f"{key}: {text!r}, which the library fetches and runs (where it is flash-attn, install that)"
        elif key == OTHER_WEIGHTS:
            yield f"{key}, which names other weights than those that were compiled"
        elif key == ACTIVATION and isinstance(value, str) and "." in value and not is_torchs_own(value):
            yield f"{key}: {value!r}, which is called and no activation of torch.nn"
    for name, value, most in extent_faults(config):
        yield f"{name}: {value}, which no model has (at most {most})"


def _walk(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield key, item
        yield from _walk(item)


def _module_faults(modules: Any) -> Iterator[str]:
    for module in modules if isinstance(modules, list) else ():
        kind, path = (str(module.get(key, "")) for key in ("type", "path")) if isinstance(module, Mapping) else ("", "")
        if not kind.startswith("sentence_transformers.") or kind.rpartition(".")[2] not in RUN:
            yield f"a module of type {kind!r}, which is code of its own, or reads more than its own folder"
        if leads_out(path):
            yield f"a module at {path!r}, which is outside"


def _index_faults(index: Any) -> Iterator[str]:
    shards = index.get("weight_map") if isinstance(index, Mapping) else None
    for shard in sorted({str(name) for name in shards.values()}) if isinstance(shards, Mapping) else ():
        if leads_out(shard):
            yield f"weights at {shard!r}, which is outside"
