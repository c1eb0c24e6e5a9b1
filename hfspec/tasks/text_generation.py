"""A continuation of a prompt."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, generation
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import LANGUAGE_HEAD, Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

PROMPTS = (
    Setting(
        "return_full_text",
        ("boolean",),
        "Give the prompt and its continuation; by default true, but false with a prompt template.",
    ),
    Setting("include_prompt", ("boolean",), "Keep the prompt, and the line break after it, in the answer."),
    Setting(
        "collapse_whitespace", ("boolean",), "Make each run of white space in the answer one space.", default=False
    ),
    Setting("add_special_tokens", ("boolean",), "Let the tokenizer add its special tokens to the prompt."),
    Setting(
        "handle_long_generation",
        ("string",),
        "'hole': drop tokens from the left of a prompt that leaves no room for the answer.",
        choices=("hole",),
    ),
    TRUNCATION,
    BATCH_TOKENS,
)
TASK = Task(
    name="text-generation",
    library="transformers",
    summary="A continuation of each prompt.",
    inputs=(Column("string", "prompt"),),
    outputs=(Column("string"),),
    output_words="list[str], one a prompt (num_return_sequences of them, in order)",
    full_words=generation.FULL_WORDS,
    auto_class="AutoModelForCausalLM",
    head=LANGUAGE_HEAD,
    prompt=True,
    settings=(*generation.SETTINGS, *PROMPTS),
    answers_as=("llm/v1/chat", "llm/v1/completions"),
    protocols=frozenset({"openai"}),
    full=answer_fields.GENERATED,
    runner="hfspec.runtime.generation.text_generation:TextGeneration",
)
