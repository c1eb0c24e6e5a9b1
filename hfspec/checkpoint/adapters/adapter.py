"""A PEFT adapter's own files: its config as peft reads it, the header of its weights, how they are carried along."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from typing import Any

from hfspec.checkpoint.card import card_files
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.saving import Saving, weight_steps
from hfspec.checkpoint.weights.weight_files import WeightGroup, is_copied, weight_group
from hfspec.errors import SpecError, UsageError
from hfspec.formats.adapter_config import CONFIG, FOLDER, NEED_MORE, WEIGHTS, neutral
from hfspec.ir.plan import CopyFile, WriteBytes, WriteWeights
from hfspec.ir.problem import Problem, one_of
from hfspec.tasks.task import Task

AS_LORA = "save it with path_initial_model_for_weight_conversion, which makes a LoRA of it"
PICKLED_WEIGHTS = "adapter_model.bin"
# With these the stored tensors are not all there is to the adapter: peft needs the data it was begun with.
NEED_DATA = ("corda", "loftq", "lora_ga")
# The model's class for a task -> the kinds of training, by peft's names, whose adapters it can have; a kind is a class
# of peft around the model, which adds its own heads and inputs. An adapter without a kind goes with any.
TASK_TYPES: Mapping[str, tuple[str, ...]] = {
    "AutoModel": ("FEATURE_EXTRACTION",),
    "AutoModelForCausalLM": ("CAUSAL_LM",),
    "AutoModelForImageClassification": ("SEQ_CLS",),
    "AutoModelForAudioClassification": ("SEQ_CLS",),
    "AutoModelForQuestionAnswering": ("QUESTION_ANS",),
    "AutoModelForSeq2SeqLM": ("SEQ_2_SEQ_LM",),
    "AutoModelForSequenceClassification": ("SEQ_CLS",),
    "AutoModelForSpeechSeq2Seq": ("SEQ_2_SEQ_LM",),
    "AutoModelForTokenClassification": ("TOKEN_CLS",),
}
# Kinds whose answers a learned prompt leaves in their places: its own tokens are no part of what is generated, nor of
# the one answer for a sequence.
PROMPTED = ("CAUSAL_LM", "SEQ_2_SEQ_LM", "SEQ_CLS")


@dataclass(frozen=True, slots=True)
class Adapter:
    """``config``: adapter_config.json as written to the artifact, without what leads elsewhere. ``declared``: as it was
    at the source. ``kind``: peft's name of its type, such as LORA. ``is_prompt``: whether it is a learned prompt.
    """

    files: SourceFiles
    config: Mapping[str, Any]
    declared: Mapping[str, Any]
    kind: str
    is_prompt: bool
    weights: WeightGroup

    def library_config(self) -> Any:
        """A new config object of peft for it, for a model that is only to be run."""
        from peft import PEFT_TYPE_TO_CONFIG_MAPPING

        with warnings.catch_warnings(action="ignore"):  # the plan says what matters in them
            return PEFT_TYPE_TO_CONFIG_MAPPING[self.kind].from_peft_type(**self.config)


def read_adapter(files: SourceFiles, task: Task) -> Adapter:
    """The adapter in a source. Nothing of it is run.

    Raises SpecError when its config or weights cannot be used, or not for the task; UsageError without peft.
    """
    _check_installed()
    config = files.json(CONFIG)
    kind = config.get("peft_type")
    problems = (*_type_problems(files, kind), *_dangers(files, config))
    if problems:
        raise SpecError(problems)
    options = _options(str(kind))
    adapter = Adapter(files, neutral(config, options), config, str(kind), False, _weights(files))
    library = _library_config(files, adapter)
    adapter_of_kind = replace(adapter, is_prompt=bool(library.is_prompt_learning))
    problems = (*_option_problems(adapter_of_kind, options), *_task_problems(adapter_of_kind, task))
    if problems:
        raise SpecError(problems)
    return adapter_of_kind


def adapter_steps(adapter: Adapter) -> Iterator[CopyFile | WriteWeights | WriteBytes]:
    """The steps that put the adapter into the artifact: weights as stored, the config without what leads elsewhere."""
    files = adapter.files
    place = f"{FOLDER}/"
    yield WriteBytes(place + CONFIG, (json.dumps(adapter.config, indent=2, sort_keys=True) + "\n").encode())
    yield from weight_steps(files, adapter.weights, place, Saving(None, {}, None), name=WEIGHTS)
    papers = {*card_files(files), *(path for path in files.paths if path != CONFIG and is_copied(path))}
    for file in (files.file(path) for path in sorted(papers)):
        yield CopyFile(place + file.path, files.role, file.path, file.size, file.sha256)


def _check_installed() -> None:
    try:
        import peft  # noqa: F401 - only whether it is there
    except ImportError as error:
        raise UsageError(
            "an adapter needs the package peft, which is not installed here; pip install 'hfspec[peft]'."
        ) from error


def _weights(files: SourceFiles) -> WeightGroup:
    return weight_group(files, names=(WEIGHTS, PICKLED_WEIGHTS))


def _type_problems(files: SourceFiles, kind: Any) -> Iterator[Problem]:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING, __version__

    kinds = sorted(name.value for name in PEFT_TYPE_TO_CONFIG_MAPPING)
    if kind not in kinds:
        yield files.problem(
            "unknown-adapter",
            f"peft {__version__} does not know the peft_type of {CONFIG}",
            expected=one_of(name for name in kinds if name not in NEED_MORE),
            found=repr(kind),
            nearest=next(iter(get_close_matches(str(kind), kinds, n=1)), ""),
        )
    elif kind in NEED_MORE:
        yield files.problem("unknown-adapter", f"the adapter is of type {kind}, {NEED_MORE[kind]}", found=str(kind))


def _dangers(files: SourceFiles, config: Mapping[str, Any]) -> Iterator[Problem]:
    if config.get("megatron_config") is not None:
        yield files.problem(
            "remote-code",
            f"{CONFIG} sets megatron_config, with which peft imports a package that the adapter names",
            found=repr(config.get("megatron_core")),
            remedy="use an adapter for the library's own layers",
        )
    if config.get("alora_invocation_tokens") is not None:
        yield files.problem(
            "unknown-adapter", "the adapter is switched on by tokens of the prompt (aLoRA), which hfspec does not run"
        )
    if config.get("init_lora_weights") in NEED_DATA:
        yield files.problem(
            "unknown-adapter",
            f"the adapter changes the base's weights by data that it does not bring"
            f" (init_lora_weights: {config['init_lora_weights']})",
            remedy=AS_LORA,
        )


def _options(kind: str) -> frozenset[str]:
    """The keys that the config of an adapter of this type can have."""
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    return frozenset(field.name for field in fields(PEFT_TYPE_TO_CONFIG_MAPPING[kind]))


def _option_problems(adapter: Adapter, options: frozenset[str]) -> Iterator[Problem]:
    """An option that is set and that the installed peft would pass over with a warning."""
    unknown = sorted(name for name, value in adapter.declared.items() if value and name not in options)
    if unknown:
        from peft import __version__

        made_by = adapter.declared.get("peft_version")
        yield adapter.files.problem(
            "broken-checkpoint",
            f"{CONFIG} sets options that peft {__version__} does not know for an adapter of type {adapter.kind}:"
            f" {', '.join(unknown)}",
            remedy=f"the adapter was saved by peft {made_by}; install that, or a newer one" if made_by else "",
        )


def _library_config(files: SourceFiles, adapter: Adapter) -> Any:
    try:
        return adapter.library_config()
    except Exception as error:  # a config class may raise anything over values that make no sense
        reason = " ".join(str(error).split()) or type(error).__name__
        raise files.refusal(
            "broken-checkpoint", f"peft refuses {CONFIG} as a config of type {adapter.kind}: {reason}"
        ) from error


def _task_problems(adapter: Adapter, task: Task) -> Iterator[Problem]:
    trained_for = adapter.config.get("task_type")
    classes = task.auto_classes or ("AutoModel",)  # embeddings of sentence-transformers
    fitting = tuple(kind for name in classes for kind in TASK_TYPES.get(name, ()))
    if trained_for is not None and trained_for not in fitting:
        yield adapter.files.problem(
            "task-not-possible",
            f"the adapter was trained for another kind of task than {task.name}",
            expected=f"task_type {' or '.join(sorted(set(fitting)))}" if fitting else "an adapter without a task_type",
            found=f"task_type {trained_for}",
        )
    elif adapter.is_prompt and trained_for not in PROMPTED:
        yield adapter.files.problem(
            "task-not-possible",
            f"the adapter is a learned prompt ({adapter.kind}), whose own tokens would be among the answers of"
            f" {task.name}",
            expected=f"task_type {' or '.join(PROMPTED)}",
            found=f"task_type {trained_for}",
        )
