"""Labels for a text or a pair of texts."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, labels
from hfspec.tasks.task import CLASSIFICATION_HEAD, Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

TASK = Task(
    name="text-classification",
    library="transformers",
    aliases=("sentiment-analysis",),
    summary="Labels and scores for a text, or for a pair of texts.",
    inputs=(Column("string", "text"), Column("string", "text_pair", required=False)),
    outputs=labels.OUTPUTS,
    output_words=labels.OUTPUT_WORDS,
    full_words="list of dicts: every label with its score, best first, and the token count",
    auto_class="AutoModelForSequenceClassification",
    head=CLASSIFICATION_HEAD,
    settings=(
        labels.TOP_K,
        labels.FUNCTION_TO_APPLY,
        TRUNCATION,
        BATCH_TOKENS,
    ),
    protocols=frozenset({"tei"}),
    full=(*answer_fields.LABELS, *answer_fields.counts("tokens")),
    runner="hfspec.runtime.text.text_classification:TextClassification",
)
