"""Labels for a text or a pair of texts."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

TASK = Task(
    name="text-classification",
    library="transformers",
    aliases=("sentiment-analysis",),
    summary="Labels and scores for a text, or for a pair of texts.",
    inputs=(Column("string", "text"), Column("string", "text_pair", required=False)),
    outputs=(Column("string", "label"), Column("double", "score")),
    output_words="DataFrame label, score; with top_k other than 1 also row, one line a label",
    full_words="list of dicts: every label with its score, best first, and the token count",
    auto_class="AutoModelForSequenceClassification",
    settings=(
        Setting(
            "top_k", ("integer", "null"), "How many labels to give, best first; null for all.", minimum=1, default=1
        ),
        Setting(
            "function_to_apply",
            ("string",),
            "How logits become scores; by default the checkpoint's problem_type says: softmax for one label of several,"
            " sigmoid for several labels or a single one, none for regression.",
            choices=("sigmoid", "softmax", "none"),
        ),
        TRUNCATION,
        BATCH_TOKENS,
    ),
    runner="hfspec.runtime.text_classification:TextClassification",
)
