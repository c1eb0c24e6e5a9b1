"""The keys of a request, and the settings behind them, that the tasks which speak the OpenAI API share.

The keys are those of https://platform.openai.com/docs/api-reference. A request's own keys lie over every setting.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from hfspec.ir.signature import Column
from hfspec.tasks import generation
from hfspec.tasks.setting import Setting
from hfspec.tasks.text import BATCH_TOKENS

STOP = Setting(
    "stop",
    ("string", "array"),
    "Text, or texts, that end the answer wherever they come up, and are cut from it.",
    items="string",
)
# Settings of the library that a key of the API stands for.
REPLACED = frozenset({"temperature", "num_return_sequences", "stop_strings"})
SETTINGS = (
    Setting(
        "max_tokens",
        ("integer",),
        "How many tokens to generate at most, the one that ends the answer included; the same as max_new_tokens.",
        minimum=1,
    ),
    Setting(
        "temperature",
        ("number",),
        "How even sampling makes the odds; above 0 answers are sampled, 0 takes the likeliest token.",
        minimum=0,
    ),
    STOP,
    Setting(
        "n",
        ("integer",),
        "How many choices to give; they are sampled unless temperature is 0, choice i from seed + i.",
        minimum=1,
        maximum=128,
        default=1,
    ),
    Setting(
        "frequency_penalty",
        ("number",),
        "Lower a token's logit by this for each time the answer already has it.",
        minimum=-2,
        maximum=2,
    ),
    Setting(
        "presence_penalty",
        ("number",),
        "Lower a token's logit by this when the answer already has it.",
        minimum=-2,
        maximum=2,
    ),
    *(setting for setting in generation.SETTINGS if setting.name not in REPLACED),
    BATCH_TOKENS,
)


def optional(kind: str, *names: str) -> tuple[Column, ...]:
    """Keys that a request may leave out."""
    return tuple(Column(kind, name, required=False) for name in names)


GENERATION_KEYS = (
    *optional("long", "max_tokens", "n", "seed"),
    *optional("double", "temperature", "top_p", "frequency_penalty", "presence_penalty"),
    *optional("any", "stop"),
    *optional("object", "stream_options"),
    *optional("boolean", "stream"),
    *optional("string", "model", "user"),
)
# Keys of an answer that differ from call to call.
ANEW = ("id", "created")
# Keys that say nothing about the answer.
WITHOUT_EFFECT = frozenset(
    {
        "model",
        "user",
        "metadata",
        "store",
        "service_tier",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "parallel_tool_calls",
    }
)
# Keys that would change the answer in a way that is not there, with the values that ask for nothing.
REFUSED: MappingProxyType[str, tuple[Any, ...]] = MappingProxyType(
    {
        "audio": (),
        "best_of": (1,),
        "function_call": ("auto", "none"),
        "functions": ([],),
        "logit_bias": ({},),
        "logprobs": (False,),
        "modalities": (["text"],),
        "moderation": (),
        "prediction": (),
        "reasoning_effort": (),
        "response_format": ({"type": "text"},),
        "suffix": ("",),
        "tool_choice": ("auto", "none"),
        "top_logprobs": (0,),
        "verbosity": (),
        "web_search_options": (),
    }
)
