"""A text for a text, by encoder-decoder models: a summary, a translation, whatever the model was trained to answer."""

from __future__ import annotations

from dataclasses import replace

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, generation
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

# Differences from a continuation of a prompt: these lengths are of the answer alone, and the pipelines of
# transformers 4.57 searched four beams where neither the checkpoint nor the caller said otherwise.
OF_THE_ANSWER = {
    "max_length": {
        "description": "How long the answer may be, in tokens, the one that it starts from included.",
        "minimum": 2,
    },
    "min_length": {"description": "How long the answer must be, in tokens, the one that it starts from included."},
    "num_beams": {"default": 4},
}
# Classifier-free guidance runs the decoder alone, which a model with an encoder cannot.
NOT_WITH_AN_ENCODER = ("guidance_scale",)
SETTINGS = (
    *(
        replace(setting, **OF_THE_ANSWER.get(setting.name, {}))  # type: ignore[arg-type]
        for setting in generation.SETTINGS
        if setting.name not in NOT_WITH_AN_ENCODER
    ),
    Setting(
        "clean_up_tokenization_spaces",
        ("boolean",),
        "Take out the spaces before punctuation that some tokenizers leave.",
        default=False,
    ),
    TRUNCATION,
    replace(
        BATCH_TOKENS,
        description="How many tokens one batch may hold, padding, answers and beams included.",
        default=16384,
    ),
)
LANGUAGES = (
    Setting(
        "src_lang",
        ("string",),
        "The language of the texts, as the tokenizer names it; by default the task's name or the tokenizer says.",
    ),
    Setting(
        "tgt_lang",
        ("string",),
        "The language to translate into, as the tokenizer names it; by default the task's name or the tokenizer says.",
    ),
)
OUTPUTS = (Column("string"),)
OUTPUT_WORDS = "list[str], one a text (num_return_sequences of them, in order)"
FULL_WORDS = generation.FULL_WORDS

SUMMARIZATION = Task(
    name="summarization",
    library="transformers",
    summary="A summary of each text.",
    inputs=(Column("string", "text"),),
    outputs=OUTPUTS,
    output_words=OUTPUT_WORDS,
    full_words=FULL_WORDS,
    auto_class="AutoModelForSeq2SeqLM",
    prompt=True,
    settings=SETTINGS,
    full=answer_fields.GENERATED,
    runner="hfspec.runtime.generation.seq2seq:Seq2Seq",
)
TEXT2TEXT = replace(
    SUMMARIZATION, name="text2text-generation", summary="The answer of an encoder-decoder model to each text."
)
TRANSLATION = replace(
    SUMMARIZATION,
    name="translation",
    summary="Each text in another language; translation_xx_to_yy names the two.",
    inputs=(
        Column("string", "text"),
        Column("string", "src_lang", required=False),
        Column("string", "tgt_lang", required=False),
    ),
    full_words=f"{FULL_WORDS}, src_lang, tgt_lang",
    full=(*answer_fields.GENERATED, *answer_fields.texts("src_lang", "tgt_lang")),
    settings=(*LANGUAGES, *SETTINGS),
    runner="hfspec.runtime.generation.translation:Translation",
)
