"""One input of the task through the tokenizer, at plan time: what would make every request fail is told here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.pair_template import PairTemplate, cannot_carry
from hfspec.formats.sentence_modules import STATED, TRANSFORMER_CONFIGS, is_saved_cross_encoder, pair_modalities
from hfspec.ir.problem import Problem
from hfspec.tasks.task import Task

OWN_TOKENIZER = "use the tokenizer that the model was trained with"

Probe = Callable[[Any], Iterator[Problem]]
TEXT = "One short text."
USER = {"role": "user", "content": TEXT}
SYSTEM = {"role": "system", "content": TEXT}


def probe(task: Task, model: SourceFiles, folder: str, files: SourceFiles, settings: Mapping[str, Any]) -> Probe:
    """The probe of the loaded tokenizer, which ``files`` bring. ``folder``: that of the model's config;
    ``settings``: those that the spec sets.
    """

    def problems(tokenizer: Any) -> Iterator[Problem]:
        if fault := _failure(lambda: tokenizer(TEXT, verbose=False)["input_ids"]):
            yield files.problem(
                "broken-tokenizer",
                f"the tokenizer makes no tokens of a plain text: {fault}",
                remedy=OWN_TOKENIZER,
            )
            return
        if task.chat and tokenizer.chat_template:
            yield from _chat_problems(files, task, tokenizer)
        if task.kind == "cross-encoder":
            yield from _pair_problems(files, tokenizer, _modalities(model, folder), model.json(f"{folder}config.json"))
        if not tokenizer.is_fast:
            yield from _python_problems(files, task, tokenizer, settings)

    return problems


def _chat_problems(files: SourceFiles, task: Task, tokenizer: Any) -> Iterator[Problem]:
    """A template may want a system message first; one that takes no conversation at all answers none."""
    faults = [
        _failure(partial(tokenizer.apply_chat_template, messages, tokenize=False, add_generation_prompt=True))
        for messages in ([USER], [SYSTEM, USER])
    ]
    if all(faults):
        yield files.problem(
            "broken-chat-template",
            f"the tokenizer's chat template refuses a conversation of one user message: {faults[0]}",
            at=("task",),
            found=task.name,
            remedy="name a tokenizer with a working template under components.tokenizer, or use text-generation",
        )


def _pair_problems(
    files: SourceFiles, tokenizer: Any, modalities: Mapping[str, Any] | None, config: Mapping[str, Any]
) -> Iterator[Problem]:
    if not PairTemplate.applies(tokenizer, modalities):
        return
    if fault := PairTemplate(tokenizer, str(config.get("model_type", "")), modalities).fault():
        yield files.problem(
            "broken-chat-template",
            cannot_carry(fault),
            expected="a chat template that renders the roles query and document, or none",
            remedy="name a tokenizer with such a template, or without one, under components.tokenizer",
        )


def _python_problems(files: SourceFiles, task: Task, tokenizer: Any, settings: Mapping[str, Any]) -> Iterator[Problem]:
    """A tokenizer in Python only knows neither the characters of a token nor the words that tokens are of."""
    name = f"{type(tokenizer).__name__} is written in Python only and does not tell"
    for need in task.fast_tokenizer:
        value = settings.get(need.setting) if need.setting else task.name
        if value is not None and (not need.values or value in need.values):
            yield files.problem(
                "task-not-possible",
                f"{name} {need.reason}",
                at=("model_config", need.setting) if need.setting else ("task",),
                found=str(value),
                expected=need.expected,
                remedy=need.remedy,
            )


def _modalities(model: SourceFiles, folder: str) -> Mapping[str, Any] | None:
    """The modalities that a cross-encoder states for its inputs, in the first that there is of a Transformer module's
    files.
    """
    configs = (model.json(f"{folder}{name}") for name in TRANSFORMER_CONFIGS if model.has(f"{folder}{name}"))
    is_saved = is_saved_cross_encoder(model.json(STATED), has_modules=model.has("modules.json"))
    return pair_modalities(next((settings for settings in configs if settings), {}), is_saved=is_saved)


def _failure(call: Callable[[], Any]) -> str:
    """How a call fails, on one line; empty when it does not."""
    try:
        call()
    except Exception as error:  # noqa: BLE001 - a template and a vocabulary are the checkpoint's: they may raise anything
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
