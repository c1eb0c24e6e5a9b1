"""Scores for pairs of texts, read together by a cross-encoder."""

from __future__ import annotations

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column, Tensor
from hfspec.tasks import answer_fields, prompts
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import CLASSIFICATION_HEAD, Task
from hfspec.tasks.text import BATCH_TOKENS

SCORED = (answer_fields.SCORE, answer_fields.SCORES, *answer_fields.counts("tokens"), answer_fields.TRUNCATED)
TASK = Task(
    name="text-ranking",
    library="sentence-transformers",
    summary="How well each document answers its query, by a model that reads both together (a cross-encoder).",
    inputs=(
        Column("string", "query"),
        Column("string", "document", required=False),
        Column("any", "documents", required=False),
    ),
    outputs=Tensor("float32", (-1,)),
    output_words="ndarray of scores, one a pair, (pairs, labels) where the model has several labels; of a query with"
    " documents one a document, in their order; for several such rows a list of arrays",
    full_words="list of dicts: score (labels and scores where there are several), token count, whether the pair was"
    " cut; of a query with documents its ranking: corpus_id and score, best first, as many as top_k",
    auto_class="AutoModelForSequenceClassification",
    head=CLASSIFICATION_HEAD,
    kind="cross-encoder",
    trial_row=FrozenDict({"document": "One short text.", "documents": ("One short text.",)}),
    settings=(
        Setting(
            "activation_fn",
            ("string",),
            "How logits become scores; by default what the checkpoint says, or else sigmoid for a single label and"
            " identity for several.",
            choices=("identity", "sigmoid", "tanh"),
        ),
        Setting("apply_softmax", ("boolean",), "Let the scores of several labels sum to 1.", default=False),
        Setting(
            "max_length",
            ("integer",),
            "How many tokens of a pair are read; a longer one is cut. By default, what the model can read.",
            minimum=8,
        ),
        Setting(
            "top_k",
            ("integer", "null"),
            "How many documents the full output's ranking lists; null for all.",
            minimum=1,
        ),
        Setting("return_documents", ("boolean",), "Put each document's text in the ranking.", default=False),
        prompts.PROMPT_NAME,
        prompts.PROMPT,
        BATCH_TOKENS,
    ),
    protocols=frozenset({"rerank", "tei"}),
    full=(
        answer_fields.many(Column("string", "labels")),
        *SCORED,
        answer_fields.objects("ranking", *answer_fields.counts("corpus_id"), *SCORED, *answer_fields.texts("text")),
    ),
    runner="hfspec.runtime.sentences.text_ranking:TextRanking",
)
