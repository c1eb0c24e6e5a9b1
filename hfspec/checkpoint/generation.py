"""Whether a request with nothing but the settings in force can be answered, and what of the checkpoint's generation
config is not done.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.checkpoint.generation_config import GENERATING, GENERATION_CONFIG
from hfspec.checkpoint.settings import SEQ2SEQ, SettingLayers
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.errors import ParamsError
from hfspec.formats import generation_config as unused_settings
from hfspec.ir.problem import Problem
from hfspec.library_calls.quiet import quiet
from hfspec.settings import generation, request_settings
from hfspec.settings.precedence import Settings
from hfspec.tasks.task import Task

TOKENS = 2
SPEECH = "AutoModelForSpeechSeq2Seq"  # it decodes by rules of its own
CODE = "generation-refused"


def generation_problems(
    files: SourceFiles, content: Mapping[str, Any], task: Task, *, layers: SettingLayers, config: Mapping[str, Any]
) -> Iterator[Problem]:
    """Problems with which every request fails that changes no setting. ``content``: generation_config.json of the
    artifact; ``config``: the checkpoint's config.json.
    """
    if not any(task.setting(name) for name in GENERATING):
        return
    from transformers import GenerationConfig

    with quiet():
        base = unused_settings.neutral(GenerationConfig.from_dict(dict(content)))
    settings = request_settings.generating(layers.in_force) if task.anew else layers.in_force
    try:
        if task.auto_class == SPEECH:
            unused_settings.refuse_undone(base)
        else:
            generation.check(base, settings)
            _rehearse(base, settings, config, encoder=task.auto_class == SEQ2SEQ)
    except ParamsError as error:
        yield files.problem(CODE, str(error))


def generation_notes(files: SourceFiles, folder: str, task: Task, content: Mapping[str, Any]) -> Iterator[str]:
    """Each kind of key in generation_config.json that is no setting of the task, and what becomes of it. ``content``:
    the file as the artifact has it.
    """
    if task.auto_class == SPEECH and _is_whisper_alone(files, folder):
        yield (
            f"There is no {GENERATION_CONFIG}: which tokens are languages, tasks and timestamps is taken from the"
            " tokenizer, the lengths and suppressed tokens are those of config.json, and words cannot be timed."
        )
    if task.auto_class == SPEECH or not any(task.setting(name) for name in GENERATING):
        return
    raw = files.json(f"{folder}{GENERATION_CONFIG}")
    if changed := sorted(name for name in content if content[name] != raw.get(name)):
        yield (
            f"The artifact's {GENERATION_CONFIG} has {', '.join(changed)} as requests have it: the library refuses the"
            " file as the source has it."
        )
    for why, names in unused_settings.not_done(raw, generation.NAMES).items():
        yield f"{GENERATION_CONFIG} sets {', '.join(names)}: {why}."


def _is_whisper_alone(files: SourceFiles, folder: str) -> bool:
    """Whether this is a Whisper without the file that says how it writes."""
    is_whisper = files.json(f"{folder}config.json").get("model_type") == "whisper"
    return is_whisper and not files.has(f"{folder}{GENERATION_CONFIG}")


def _rehearse(base: Any, settings: Settings, config: Mapping[str, Any], *, encoder: bool) -> None:
    """Let the library generate with these settings, by a model of next to no size over the checkpoint's vocabulary.

    Raises ParamsError when it cannot.
    """
    text = config.get("text_config")
    size = config.get("vocab_size", text.get("vocab_size") if isinstance(text, Mapping) else None)
    if not isinstance(size, int) or size < TOKENS:
        return
    import torch

    rehearsed = generation.config_for(base, settings, new_tokens=TOKENS, pad=0)
    rehearsed.stop_strings = None  # they need the tokenizer
    try:
        with quiet(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]), torch.inference_mode():
            warnings.simplefilter("ignore")
            model = _smallest(size, encoder=encoder)
            model.generate(
                input_ids=torch.tensor([[0, 1]]), attention_mask=torch.ones(1, 2).long(), generation_config=rehearsed
            )
    except Exception as error:  # the library may raise anything over values that make no sense
        raise ParamsError(
            f"with the generation settings in force the library cannot generate: {error};"
            f" they are those of {GENERATION_CONFIG} and of the spec: set the one at fault under model_config."
        ) from error


def _smallest(size: int, *, encoder: bool) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM, T5Config, T5ForConditionalGeneration

    if encoder:
        return T5ForConditionalGeneration(
            T5Config(vocab_size=size, d_model=2, d_kv=2, d_ff=2, num_layers=1, num_heads=1, decoder_start_token_id=0)
        ).eval()
    return LlamaForCausalLM(
        LlamaConfig(vocab_size=size, hidden_size=2, intermediate_size=2, num_hidden_layers=1, num_attention_heads=1)
    ).eval()
