"""Labels for the tokens of a text, and the entities that they make."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import CLASSIFICATION_HEAD, FastTokenizerNeed, Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

BY_WORD = ("first", "average", "max")  # the aggregation strategies that label whole words
TASK = Task(
    name="token-classification",
    library="transformers",
    aliases=("ner",),
    summary="Labels for the tokens of a text, or the named entities they make.",
    inputs=(Column("string", "text"),),
    outputs=(Column("string"),),
    output_words="list[str], one a text: the labels of its entities, joined by commas; empty where there are none",
    full_words="list of dicts: entities (entity or entity_group, score, word, start, end, index)",
    auto_class="AutoModelForTokenClassification",
    head=CLASSIFICATION_HEAD,
    settings=(
        Setting(
            "aggregation_strategy",
            ("string",),
            "How tokens become entities: none, one a token; simple, neighbours of one label joined; first, average, max"
            " also give a word (the tokenizer's) one label: its first token's, that of its tokens' mean scores,"
            " its surest token's.",
            choices=("none", "simple", "first", "average", "max"),
            default="none",
        ),
        Setting(
            "ignore_labels", ("array",), "Labels (after aggregation) to leave out.", items="string", default=("O",)
        ),
        Setting(
            "stride",
            ("integer",),
            "Read a text that is longer than the model can read in windows that share this many tokens; goes with every"
            " aggregation_strategy but none.",
            minimum=0,
        ),
        TRUNCATION,
        BATCH_TOKENS,
    ),
    fast_tokenizer=(
        FastTokenizerNeed(
            "where words begin, which the aggregation_strategy in force needs",
            setting="aggregation_strategy",
            values=BY_WORD,
            expected="none or simple",
        ),
        FastTokenizerNeed(
            "where tokens are, so that stride cannot put the entities of several windows together",
            setting="stride",
            remedy="set truncation instead, or give shorter texts",
        ),
    ),
    full=(
        answer_fields.objects(
            "entities",
            *answer_fields.texts("entity", "entity_group"),
            answer_fields.SCORE,
            *answer_fields.texts("word"),
            *answer_fields.counts("index", "start", "end"),
        ),
    ),
    runner="hfspec.runtime.text.token_classification:TokenClassification",
)
