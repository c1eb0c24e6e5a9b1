"""Answers to conversations, as a text and as the OpenAI API's object."""

from __future__ import annotations

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, generation, openai
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS

ONE_MESSAGE = FrozenDict({"messages": [{"role": "user", "content": "One short text."}]})
CHOICE_WORDS = (
    "list of dicts, one a choice: request, index, text, prompt, prompt_tokens, completion_tokens, finish_reason"
)
CONVERSATIONAL = Task(
    name="conversational",
    library="transformers",
    summary="What the assistant says next in a conversation, by the checkpoint's chat template.",
    inputs=(Column("any", "messages"),),
    outputs=(Column("string"),),
    output_words="list[str], one a conversation: the assistant's text",
    full_words=generation.FULL_WORDS,
    auto_class="AutoModelForCausalLM",
    prompt=True,
    chat=True,
    trial_row=ONE_MESSAGE,
    settings=(*generation.SETTINGS, openai.STOP, BATCH_TOKENS),
    answers_as=("llm/v1/chat",),
    protocols=frozenset({"openai"}),
    full=answer_fields.GENERATED,
    runner="hfspec.runtime.chat.conversational:Conversational",
)
CHAT = Task(
    name="llm/v1/chat",
    library="transformers",
    summary="The OpenAI API's chat completions, by the checkpoint's chat template.",
    inputs=(
        Column("any", "messages"),
        *openai.optional("long", "max_completion_tokens"),
        *openai.GENERATION_KEYS,
        *openai.optional("any", "tools", "tool_choice"),
    ),
    outputs=(Column("any"),),
    output_words="a chat.completion object for one request, a list of them for a list; with stream: true an iterator of"
    " chat.completion.chunk objects",
    full_words=CHOICE_WORDS,
    auto_class="AutoModelForCausalLM",
    prompt=True,
    chat=True,
    trial_row=ONE_MESSAGE,
    settings=openai.SETTINGS,
    protocols=frozenset({"openai"}),
    runner="hfspec.runtime.chat.chat:Chat",
    anew=openai.ANEW,
)
COMPLETIONS = Task(
    name="llm/v1/completions",
    library="transformers",
    summary="The OpenAI API's completions: continuations of one prompt, or of many.",
    inputs=(
        Column("any", "prompt"),
        *openai.GENERATION_KEYS,
        *openai.optional("boolean", "echo"),
    ),
    outputs=(Column("any"),),
    output_words="a text_completion object for one request, a list of them for a list; with stream: true an iterator of"
    " such objects, a piece each",
    full_words=CHOICE_WORDS,
    auto_class="AutoModelForCausalLM",
    prompt=True,
    settings=openai.SETTINGS,
    protocols=frozenset({"openai"}),
    runner="hfspec.runtime.chat.completions:Completions",
    anew=openai.ANEW,
)
