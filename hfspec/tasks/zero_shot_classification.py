"""Labels chosen at the call, each put to an entailment model as a hypothesis."""

from __future__ import annotations

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import CLASSIFICATION_HEAD, Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

TASK = Task(
    name="zero-shot-classification",
    library="transformers",
    summary="Scores for labels that each row brings along, by a model trained on entailment.",
    inputs=(
        Column("string", "sequences"),
        Column("any", "candidate_labels", required=False),
        Column("string", "hypothesis_template", required=False),
    ),
    outputs=(Column("string", "sequence"), Column("string", "labels"), Column("double", "scores")),
    output_words="DataFrame sequence, labels, scores: one line for each label of each row, best first",
    full_words="list of dicts: sequence, labels, scores (best first)",
    auto_class="AutoModelForSequenceClassification",
    head=CLASSIFICATION_HEAD,
    needed_label="entail",
    trial_row=FrozenDict({"candidate_labels": ("one", "other")}),
    settings=(
        Setting(
            "candidate_labels",
            ("string", "array"),
            "The labels of rows that bring none: a list, or one text with commas between them.",
            items="string",
        ),
        Setting(
            "hypothesis_template",
            ("string",),
            "The sentence that each label becomes, in rows that bring none; the label goes where {} is.",
            default="This example is {}.",
        ),
        Setting(
            "multi_label",
            ("boolean",),
            "Score each label by itself (entailment against contradiction), instead of against the others.",
            default=False,
        ),
        TRUNCATION,
        BATCH_TOKENS,
    ),
    row=(Column("string", "sequence"), *answer_fields.LABELS),
    full=(Column("string", "sequence"), *answer_fields.LABELS),
    runner="hfspec.runtime.text.zero_shot_classification:ZeroShotClassification",
)
