"""The tasks of ONNX Runtime's generate(): those of text of transformers, with the library's own search options.

The names are those of ``search`` in genai_config.json (https://onnxruntime.ai/docs/genai/reference/config.html); a
test compares them with the installed library. Those that are hfspec's own business (the size of a batch, how the cache
is laid out) are left out, and one that the library takes and does not use.
"""

from __future__ import annotations

from dataclasses import replace

from hfspec.tasks import chat, generation, openai, text_generation
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task

LIBRARY = "onnxruntime-genai"
MOST_ROWS = 32  # of a batch, beams counted, as the library has it
_TAKEN = (
    "max_new_tokens",
    "max_length",
    "min_length",
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "seed",
)
SEARCH = (
    *(setting for setting in generation.SETTINGS if setting.name in _TAKEN),
    Setting("num_beams", ("integer",), generation.BEAMS_WORDS, minimum=1, maximum=MOST_ROWS),
    Setting(
        "num_return_sequences",
        ("integer",),
        generation.ANSWERS_WORDS,
        minimum=1,
        maximum=MOST_ROWS,
    ),
    Setting("early_stopping", ("boolean",), "Whether beam search stops at the first answers that end."),
    Setting("random_seed", ("integer",), "The library's name for seed.", minimum=-1),
)
# Search options of the library that no spec sets.
NOT_SET = frozenset({"batch_size", "chunk_size", "diversity_penalty", "past_present_share_buffer"})
_LIBRARYS = {setting.name for setting in generation.SETTINGS} - openai.REPLACED
_OPENAI = (
    *(setting for setting in openai.SETTINGS if setting.name not in _LIBRARYS),
    *(setting for setting in SEARCH if setting.name not in openai.REPLACED),
)


def _of(task: Task, settings: tuple[Setting, ...], runner: str) -> Task:
    """The task of transformers as this library has it."""
    return replace(
        task,
        library=LIBRARY,
        auto_class="",
        components=(),
        settings=settings,
        runner=f"hfspec.libraries.onnxruntime_genai.runners:{runner}",
    )


TEXT = _of(text_generation.TASK, (*SEARCH, openai.STOP, *text_generation.PROMPTS), "GenaiText")
CHAT = _of(chat.CHAT, _OPENAI, "GenaiChat")
COMPLETIONS = _of(chat.COMPLETIONS, _OPENAI, "GenaiCompletions")
