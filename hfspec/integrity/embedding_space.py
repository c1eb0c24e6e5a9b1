"""One digest of everything that makes an artifact's embeddings: weights, tokenizer, modules, prompts.

Taken from content: tensors by name, dtype, shape and bytes, however they lie in files; JSON by its values. Names,
places, cards and the bookkeeping that libraries leave in configs are no part of it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hfspec.formats import adapter_config, sentence_modules
from hfspec.formats.sentence_modules import Module
from hfspec.formats.vocabulary_files import AROUND, VOCABULARIES
from hfspec.ir.artifact import Manifest, code_files
from hfspec.ir.canonical import digest_of
from hfspec.ir.dtypes import torch_dtype
from hfspec.ir.frozen import thaw
from hfspec.ir.pins import TensorInfo
from hfspec.ir.safetensors_header import header_length, parse_header
from hfspec.ir.weight_index import SUFFIX, weight_map
from hfspec.settings.prompts import Prompts

CHUNK = 4 << 20
DIGESTING = 2  # tensors at once
INDEX = f"model{SUFFIX}.index.json"
UNCHANGED: Mapping[str, Mapping[str, str]] = MappingProxyType({})
AS_STORED: Mapping[str, str] = MappingProxyType({})
# Entries of a config that change no answer; the dtype is counted as it is loaded.
BOOKKEEPING = frozenset(
    {
        *("_commit_hash", "_name_or_path", "auto_map", "dtype", "name_or_path", "torch_dtype", "transformers_version"),
        *("chat_template", "is_local", "local_files_only", "special_tokens_map_file", "tokenizer_file"),
    }
)
# Entries of an adapter's config that change no answer.
TRAINED_WITH = frozenset({"inference_mode", "lora_dropout", "megatron_core", "peft_version"})
# The only files that the tokenizer reads beside a tokenizer.json.
BESIDE_TOKENIZER_JSON = ("added_tokens.json", "special_tokens_map.json", "tokenizer_config.json")
NOT_OF_THE_TOKENIZER = ("config.json", "chat_template.jinja")
LAYOUT = ("modality_config", "module_output_name", "transformer_task", "unpad_inputs")


def embedding_space(
    folder: Path, manifest: Manifest, model: Path | None = None, saved: Mapping[str, Mapping[str, str]] = UNCHANGED
) -> str:
    """Digest all that an artifact's embeddings are made by. Every weight is read once, two at a time.

    Args:
        folder: The artifact's folder.
        manifest: Its manifest.
        model: The folder model/ with the weights, where they are not in ``folder``.
        saved: The dtypes that weights count as, where they do not count as they are: folder of a module (empty, or with
            a slash at its end) -> tensor -> safetensors' name.

    Returns:
        sha256 in hex.
    """
    model = model or folder / "model"
    modules = _modules(model)
    transformer = modules[0].folder if modules else model
    brought = "components/tokenizer"
    has_own_tokenizer = brought in {source.role for source in manifest.sources}
    places = [module.folder for module in modules] or [model]
    adapter = folder / adapter_config.FOLDER
    code = {record.path: record.sha256 for record in code_files(manifest)}
    return digest_of(
        {
            **({"adapter": _adapter(adapter)} if adapter.is_dir() else {}),
            **({"code": code} if code else {}),
            **({"graph": _graph(model)} if manifest.graph else {}),
            "config": _plain(_json(transformer / "config.json")),
            "modules": [[module.kind, _settings(module)] for module in modules],
            "prompts": Prompts(sentence_modules.settings(model)).by_name,
            "tokenizer": _tokenizer(folder / brought if has_own_tokenizer else transformer),
            "tokenizer options": thaw(manifest.deployment.options.get("tokenizer", {})),
            "weights": {
                f"{number}.{name}": mark
                for number, place in enumerate(places)
                for name, mark in _weights(place, saved.get(_key(place, model), {}))
            },
        }
    )


def _graph(model: Path) -> dict[str, str]:
    """Digests for a model that is a graph: of its files, and of what was recorded beside it."""
    return {path.name: _digest(path) for path in sorted((*model.glob("*.onnx*"), model / "graph.json"))}


def _adapter(folder: Path) -> dict[str, Any]:
    config = _json(folder / adapter_config.CONFIG)
    settings = {name: value for name, value in config.items() if name not in TRAINED_WITH and value is not None}
    return {"config": settings, "weights": dict(_weights(folder))}


def _modules(model: Path) -> list[Module]:
    if not (model / "modules.json").is_file():
        return []
    entries = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    return [sentence_modules.module(model, entry) for entry in entries]


def _settings(module: Module) -> dict[str, Any]:
    """A module's settings, the same in every layout that versions of the library have written."""
    if module.kind == "Pooling":
        modes = sentence_modules.pooling_modes(module.config)
        return {"modes": list(modes), "include_prompt": bool(module.config.get("include_prompt", True))}
    if module.kind in sentence_modules.TRANSFORMERS:
        values = sentence_modules.transformer_settings(module.folder)
        return {name: value for name, value in values.items() if name not in LAYOUT and value not in (None, False, {})}
    return {name: value for name, value in module.config.items() if value is not None}


def _tokenizer(folder: Path) -> dict[str, Any]:
    whole = (folder / "tokenizer.json").is_file()
    names = ("tokenizer.json", *BESIDE_TOKENIZER_JSON) if whole else (*VOCABULARIES, *AROUND)
    paths = [folder / name for name in names if name not in NOT_OF_THE_TOKENIZER and (folder / name).is_file()]
    return {path.name: _plain(_json(path)) if path.suffix == ".json" else _digest(path) for path in paths}


def _key(place: Path, model: Path) -> str:
    return "" if place == model else f"{place.relative_to(model).as_posix()}/"


def _weights(folder: Path, saved: Mapping[str, str] = AS_STORED) -> Iterator[tuple[str, list[Any]]]:
    """Each tensor of a folder's weights: its name; dtype, shape and the digest of its bytes, as they are saved."""
    for path in sorted(_weight_files(folder)):
        size = path.stat().st_size
        with path.open("rb") as file:
            prefix = file.read(8)
            header = parse_header(prefix + file.read(header_length(prefix, size) - 8), size)
        with ThreadPoolExecutor(DIGESTING) as threads:
            yield from threads.map(partial(_tensor, path, header.length, saved), header.tensors)


def _weight_files(folder: Path) -> set[Path]:
    """A folder's weights: those that its index names, wherever they lie below it, or every file of them."""
    index = folder / INDEX
    if not index.is_file():
        return set(folder.glob(f"*{SUFFIX}"))
    return {folder / path for path in weight_map(_json(index)).values()}


def _tensor(path: Path, start: int, saved: Mapping[str, str], tensor: TensorInfo) -> tuple[str, list[Any]]:
    with path.open("rb") as file:
        file.seek(start + tensor.start)
        dtype, length = saved.get(tensor.name, tensor.dtype), tensor.end - tensor.start
        same = dtype == tensor.dtype
        mark = _sha256(file, length) if same else _cast_sha256(file.read(length), tensor.dtype, dtype)
    return tensor.name, [dtype, list(tensor.shape), mark]


def _cast_sha256(data: bytes, stored: str, target: str) -> str:
    """The sha256 of a tensor's bytes once they are cast."""
    import torch

    before, after = (torch_dtype(name) for name in (stored, target))
    values = torch.frombuffer(bytearray(data), dtype=before).to(after) if data else torch.empty(0, dtype=after)
    return hashlib.sha256(values.view(torch.uint8).numpy().data).hexdigest()


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return _sha256(file, path.stat().st_size)


def _sha256(file: Any, size: int) -> str:
    """The sha256 of the next ``size`` bytes."""
    digest, rest = hashlib.sha256(), size
    while rest and (data := file.read(min(CHUNK, rest))):
        digest.update(data)
        rest -= len(data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Without bookkeeping, at the top."""
    return {key: item for key, item in value.items() if key not in BOOKKEEPING} if isinstance(value, Mapping) else value


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
