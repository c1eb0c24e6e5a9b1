"""The hidden state of each token."""

from __future__ import annotations

from hfspec.ir.signature import Column, Tensor
from hfspec.tasks import answer_fields
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

TASK = Task(
    name="feature-extraction",
    library="transformers",
    summary="The model's last hidden state for each token of a text.",
    inputs=(Column("string", "text"),),
    outputs=Tensor("float32", (-1, -1)),
    output_words="ndarray (tokens, hidden) for one text, a list of them for many",
    full_words="list of dicts: features (tokens, hidden), tokens, and the offsets of each token in the text",
    auto_class="AutoModel",
    prompt=True,
    settings=(TRUNCATION, BATCH_TOKENS),
    row=(answer_fields.many(Column("array", "features")),),
    full=(
        answer_fields.many(Column("array", "features")),
        answer_fields.many(Column("string", "tokens")),
        answer_fields.many(answer_fields.many(Column("long", "offsets"))),
    ),
    runner="hfspec.runtime.text.token_features:TokenFeatures",
)
