"""A checkpoint's generation_config.json as it goes into the artifact: with the spec's settings in it, where the library
would refuse to load it without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.frozen import thaw
from hfspec.ir.spec import Spec
from hfspec.library_calls.quiet import quiet
from hfspec.settings.generation import NAMES
from hfspec.tasks.task import Task

GENERATION_CONFIG = "generation_config.json"
# A task with one of these settings loads its model with the generation config.
GENERATING = ("max_new_tokens", "max_length")


def generation_config(files: SourceFiles, folder: str, task: Task, spec: Spec) -> Mapping[str, Any]:
    """The file as the artifact has it, empty where there is none. ``folder``: where the checkpoint has it."""
    raw: Mapping[str, Any] = files.json(f"{folder}{GENERATION_CONFIG}")
    if not raw or not any(task.setting(name) for name in GENERATING) or not refusal(raw):
        return raw
    with_spec = {**raw, **_set_by(spec, task)}
    return raw if refusal(with_spec) else with_spec


def refusal(config: Mapping[str, Any]) -> str:
    """Why the library would not load this generation config; empty where it would."""
    try:
        _load(config)
    except ValueError as error:
        return str(error)
    return ""


def _load(config: Mapping[str, Any]) -> None:
    from transformers import GenerationConfig

    try:
        with quiet():
            GenerationConfig.from_dict(dict(config))
    except Exception as error:  # the library may raise anything over values that make no sense
        raise ValueError(str(error) or type(error).__name__) from error


def _set_by(spec: Spec, task: Task) -> dict[str, Any]:
    """The generation settings that no request goes without: the spec's, and for the OpenAI tasks, whose requests say
    how many answers they want, one answer.
    """
    one = {"num_return_sequences": 1} if task.anew else {}
    values: dict[str, Any] = {name: thaw(value) for name, value in spec.inference.items() if name in NAMES}
    return {**values, **one}
