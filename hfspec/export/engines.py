"""The options of other engines, and the reasons why an engine cannot express an artifact."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hfspec.errors import UsageError
from hfspec.export.facts import Facts
from hfspec.tasks.weight_formats import SAFETENSORS, library_of

TEXT, WHOLE, JSON = "text", "whole number", "JSON"


@dataclass(frozen=True, slots=True)
class Options:
    """The choices of an export for another engine: none."""


@dataclass(frozen=True, slots=True)
class Engine:
    """A server's command. ``options``: long name -> its values: TEXT, WHOLE, JSON, the words that it allows, or None
    for a flag. ``version`` and ``source`` say where they were read; options that no export uses are left out.
    """

    name: str
    command: tuple[str, ...]
    version: str
    source: str
    options: Mapping[str, str | tuple[str, ...] | None]


ENGINES: Mapping[str, Engine] = MappingProxyType(
    {
        engine.name: engine
        for engine in (
            Engine(
                "vllm",
                ("vllm", "serve", "./model"),
                "0.33.0",
                "vllm/engine/arg_utils.py, vllm/config/ and vllm/entrypoints/common/cli_args.py of its wheel",
                MappingProxyType(
                    {
                        "--served-model-name": TEXT,
                        "--tokenizer": TEXT,
                        "--dtype": ("auto", "half", "float16", "bfloat16", "float", "float32"),
                        "--chat-template": TEXT,
                        "--generation-config": TEXT,
                        "--override-generation-config": JSON,
                        "--enable-lora": None,
                        "--lora-modules": TEXT,
                        "--max-lora-rank": ("1", "8", "16", "32", "64", "128", "256", "320", "512"),
                    }
                ),
            ),
            Engine(
                "tei",
                ("text-embeddings-router",),
                "1.9.3",
                "https://github.com/huggingface/text-embeddings-inference/blob/v1.9.3/docs/source/en/cli_arguments.md",
                MappingProxyType(
                    {
                        "--model-id": TEXT,
                        "--served-model-name": TEXT,
                        "--dtype": ("float16", "float32"),
                        "--pooling": ("cls", "mean", "splade", "last-token"),
                        "--auto-truncate": ("true", "false"),
                        "--default-prompt": TEXT,
                        "--max-client-batch-size": WHOLE,
                    }
                ),
            ),
        )
    }
)


def script(engine: Engine, facts: Facts, options: Sequence[tuple[str, str | None]]) -> str:
    """A shell script that starts the server beside its files, with these options and those of its caller.

    Raises ValueError for an option that the engine does not have, or a value that it does not take.
    """
    for name, value in options:
        if name not in engine.options:
            raise ValueError(f"{engine.name} {engine.version} has no option {name}")
        values = engine.options[name]
        fits = (value is None) == (values is None) and (value in values if isinstance(values, tuple) else True)
        if not fits or (values == WHOLE and not str(value).isdigit()):
            raise ValueError(f"{engine.name} {engine.version}: {name} does not take {value}")
    parts = [name if value is None else f"{name} {shlex.quote(value)}" for name, value in options]
    command = " \\\n    ".join([f"exec {' '.join(engine.command)}", *parts, '"$@"'])
    head = f"# {facts.name}, artifact {facts.manifest.digest[:12]}, by {engine.name} (options of {engine.version})."
    return f'#!/bin/sh\n{head}\ncd "$(dirname "$0")" || exit 1\n{command}\n'


def refuse(engine: str, facts: Facts, reasons: Iterable[str]) -> None:
    """Raises UsageError with every reason why the engine would answer otherwise than the artifact does."""
    problems = list(reasons)
    if problems:
        lines = "\n".join(f"  {reason}" for reason in problems)
        raise UsageError(
            f"{engine} cannot express {facts.name}; `hfspec serve` and `export docker` keep to the spec:\n{lines}"
        )


def shared_reasons(facts: Facts) -> Iterator[str]:
    """Reasons that hold for every other engine."""
    deployment = facts.manifest.deployment
    library = library_of(deployment)
    if library is None or "torch" not in library.packages:
        key = f"library: {deployment.library}" if deployment.format == SAFETENSORS else f"format: {deployment.format}"
        yield f"{key}; the engine reads weights of torch"
    if deployment.prompt_template is not None:
        yield "prompt_template: the engine takes prompts as they are; put it into the callers, or a chat template"
    if facts.manifest.code:
        yield f"reviewed code: {', '.join(sorted(facts.manifest.code))}; the engine has its own classes"
    for name, options in sorted(deployment.options.items()):
        yield f"options of components.{name} ({', '.join(sorted(options))}): the engine takes the files' own"
    if deployment.outputs != "standard":
        yield f"outputs: {deployment.outputs}; the engine answers in its own form"


def unexpressed(
    facts: Facts, expressed: Mapping[str, tuple[object, ...]], remedies: Mapping[str, str]
) -> Iterator[str]:
    """Settings in force that the engine does not have. ``expressed``: name -> the values that it answers by anyway;
    none for one that it takes whatever it is. ``remedies``: name -> what to do about it.
    """
    for name, setting in sorted(facts.settings.items()):
        allowed = expressed.get(name, (None, False))
        if allowed and not any(setting.value == value and type(setting.value) is type(value) for value in allowed):
            remedy = remedies.get(name, "the engine has no such default for its callers")
            yield f"settings: {name} is {setting.value!r} ({setting.origin}); {remedy}"


def model_files(facts: Facts) -> dict[str, Path]:
    """The model's folder, with the tokenizer that the spec chose: a tokenizer of its own replaces the model's."""
    paths = {f"model/{path}": file for path, file in facts.under("model/").items()}
    if any(source.role == "components/tokenizer" for source in facts.manifest.sources):
        own = facts.under("components/tokenizer/")
        paths |= {f"model/{path}": file for path, file in own.items()}
        if "chat_template.jinja" not in own:
            paths.pop("model/chat_template.jinja", None)
    return paths
