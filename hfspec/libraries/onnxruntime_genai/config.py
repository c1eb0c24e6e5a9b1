"""A genai_config.json: the model's kind and sizes, its graph, its tokens, its search options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.weight_index import leads_out
from hfspec.tasks.task import Task

CONFIG = "genai_config.json"
# Parts of models that read more than text, or are cut in several graphs.
OTHER_PARTS = ("encoder", "embedding", "vision", "speech")
CODE = ("custom_ops_library",)
MAX_LENGTH = "max_length"


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a genai_config.json: the key, the expected value, and the value there instead."""

    key: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{CONFIG}: {self.key}: expected {self.expected}; found {self.found}"


@dataclass(frozen=True, slots=True)
class GenaiConfig:
    """A model for text, of one graph."""

    architecture: str
    context_length: int
    vocab_size: int
    filename: str
    """The file of the graph, beside the config."""
    layers: int
    bos: int | None
    eos: tuple[int, ...]
    pad: int | None
    inputs: FrozenDict
    """The library's name of an input -> the graph's name; caches have ``%d`` for the layer."""
    outputs: FrozenDict
    providers: tuple[str, ...]
    """Execution providers other than the CPU, the first choice first."""
    search: FrozenDict

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> GenaiConfig:
        """The config of a document without ``faults``."""
        model = document["model"]
        decoder = model["decoder"]
        options = decoder.get("session_options", {}).get("provider_options", [])
        return cls(
            architecture=model["type"],
            context_length=model["context_length"],
            vocab_size=model["vocab_size"],
            filename=decoder["filename"],
            layers=decoder["num_hidden_layers"],
            bos=model.get("bos_token_id"),
            eos=_numbers(model.get("eos_token_id")),
            pad=model.get("pad_token_id"),
            inputs=FrozenDict(decoder.get("inputs", {})),
            outputs=FrozenDict(decoder.get("outputs", {})),
            providers=tuple(name.lower() for entry in options for name in entry if name.lower() != "cpu"),
            search=FrozenDict(document.get("search", {})),
        )

    def stated(self, task: Task) -> dict[str, Any]:
        """The search options that are settings of the task. A ``max_length`` of the whole context, which the library's
        builder writes for every model, is the model's capacity and not the length of an answer.
        """
        whole = {name for name in (MAX_LENGTH,) if self.search.get(name) == self.context_length}
        return {
            name: value
            for name, value in sorted(self.search.items())
            if value is not None and name not in whole and task.setting(name) is not None
        }


def faults(document: Any) -> Iterator[Fault]:
    """Every fault of a genai_config.json with which no model for text can run, or with which code would run."""
    model = document.get("model") if isinstance(document, Mapping) else None
    decoder = model.get("decoder") if isinstance(model, Mapping) else None
    if not isinstance(model, Mapping) or not isinstance(decoder, Mapping):
        key = "model.decoder" if isinstance(model, Mapping) else "model"
        yield Fault(key, "a mapping", _shown(decoder if isinstance(model, Mapping) else model))
        return
    yield from _model_faults(model)
    yield from _decoder_faults(decoder)
    search = document.get("search", {})
    if not isinstance(search, Mapping):
        yield Fault("search", "a mapping of search options", _shown(search))


def setting_faults(search: Mapping[str, Any], task: Task) -> Iterator[Fault]:
    """The faults of search options whose values the task's settings do not allow."""
    for name, value in search.items():
        setting = task.setting(name)
        if setting is not None and value is not None and (fault := setting.fault(value)):
            yield Fault(f"search.{name}", fault, _shown(value))


def _model_faults(model: Mapping[str, Any]) -> Iterator[Fault]:
    kind = model.get("type")
    if not isinstance(kind, str) or not kind.isidentifier():
        yield Fault("model.type", "the name of an architecture", _shown(kind))
    for name in ("context_length", "vocab_size"):
        if not _is_count(model.get(name), 1):
            yield Fault(f"model.{name}", "a number of tokens, at least 1", _shown(model.get(name)))
    size = model["vocab_size"] if _is_count(model.get("vocab_size"), 1) else 1 << 31
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        if name in model and model[name] is None:
            yield Fault(f"model.{name}", "a token's number, or no such key", "null")
        for token in _as_list(model.get(name)):
            if not _is_count(token, 0) or token >= size:
                yield Fault(f"model.{name}", f"a token's number, below {size}", _shown(token))
    for part in OTHER_PARTS:
        if part in model:
            yield Fault(f"model.{part}", "nothing: only models for text, of one graph, can be run", "another graph")


def _decoder_faults(decoder: Mapping[str, Any]) -> Iterator[Fault]:
    name = decoder.get("filename")
    if not isinstance(name, str) or not name or leads_out(name):
        yield Fault("model.decoder.filename", "the name of the graph's file, beside the config", _shown(name))
    if not _is_count(decoder.get("num_hidden_layers"), 1):
        yield Fault("model.decoder.num_hidden_layers", "a number, at least 1", _shown(decoder.get("num_hidden_layers")))
    if "pipeline" in decoder:
        yield Fault("model.decoder.pipeline", "nothing: only models of one graph can be run", "several graphs")
    for part in ("inputs", "outputs"):
        names = decoder.get(part, {})
        if not isinstance(names, Mapping) or not all(isinstance(name, str) for name in names.values()):
            yield Fault(f"model.decoder.{part}", "a mapping of texts", _shown(names))
    yield from _session_faults(decoder.get("session_options", {}))


def _session_faults(options: Any) -> Iterator[Fault]:
    place = "model.decoder.session_options"
    if not isinstance(options, Mapping):
        yield Fault(place, "a mapping", _shown(options))
        return
    for name in CODE:
        if options.get(name):
            yield Fault(f"{place}.{name}", "nothing: it is code, which is never run", _shown(options[name]))
    entries = options.get("provider_options", [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        yield Fault(f"{place}.provider_options", "a list of mappings", _shown(entries))


def _is_count(value: Any, least: int) -> bool:
    return type(value) is int and value >= least


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _numbers(value: Any) -> tuple[int, ...]:
    return tuple(_as_list(value))


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:80]
