"""Settings of the tasks that answer with labels and scores, and the form of their answers."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks.setting import Setting

OUTPUTS = (Column("string", "label"), Column("double", "score"))
OUTPUT_WORDS = "DataFrame label, score; with top_k other than 1 also row, one line a label"
TOP_K = Setting(
    "top_k", ("integer", "null"), "How many labels to give, best first; null for all.", minimum=1, default=1
)
FUNCTION_TO_APPLY = Setting(
    "function_to_apply",
    ("string",),
    "How logits become scores; by default the checkpoint's problem_type says: softmax for one label of several,"
    " sigmoid for several labels or a single one, none for regression.",
    choices=("sigmoid", "softmax", "none"),
)
