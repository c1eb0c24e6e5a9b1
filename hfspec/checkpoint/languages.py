"""Whether a checkpoint can translate between the languages that the spec names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.vocabulary import Tokenizer
from hfspec.formats.languages import NAMES, LanguageError, Languages, from_task_name, languages_of
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec import Spec
from hfspec.tasks.task import Task


def language_problems(
    spec: Spec, task: Task, files: SourceFiles, tokenizer: Tokenizer, config: Mapping[str, Any]
) -> Iterator[Problem]:
    """A language that the checkpoint does not know, at the key that names it; those of a call are checked then."""
    if task.setting("tgt_lang") is None:
        return
    specific = config.get("task_specific_params") or {}
    languages = languages_of(tokenizer.tongues, specific, (), instructed=spec.prompt_template is not None)
    places = _places(spec, languages)
    problems = list(_unknown(files, languages, places))
    yield from problems
    if not problems and all(code for _, code in places):
        yield from _refused(files, places[1], lambda: languages.direction(places[0][1], places[1][1]))


def _places(spec: Spec, languages: Languages) -> list[tuple[KeyPath, str | None]]:
    """The key that names each language, the one that wins where several do, and what it says."""
    codes = from_task_name(spec.task) if languages.reads_task_name else (None, None)
    result: list[tuple[KeyPath, str | None]] = []
    for name, code in zip(NAMES, codes, strict=True):
        if name in spec.signature.params:
            result.append((("signature", "params", name), spec.signature.params[name].default))
        elif name in spec.inference:
            result.append((("model_config", name), spec.inference[name]))
        else:
            result.append((("task",), code))
    return result


def _unknown(files: SourceFiles, languages: Languages, places: list[tuple[KeyPath, str | None]]) -> Iterator[Problem]:
    source, target = places
    yield from _refused(files, source, lambda: languages.check(source[1], None))
    yield from _refused(files, target, lambda: languages.check(None, target[1]))


def _refused(files: SourceFiles, place: tuple[KeyPath, str | None], step: Any) -> Iterator[Problem]:
    try:
        step()
    except LanguageError as error:
        yield files.problem("unknown-language", str(error).rstrip("."), at=place[0], found=str(place[1]))
