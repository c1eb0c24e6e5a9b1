"""Sparse embeddings: a weight for each word of the vocabulary that a text is about."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, prompts
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import LANGUAGE_HEAD, Task
from hfspec.tasks.text import BATCH_TOKENS

TASK = Task(
    name="sparse-embedding",
    library="sentence-transformers",
    summary="A sparse embedding of each text, over the model's vocabulary (SPLADE).",
    inputs=(Column("string", "text"),),
    outputs=(Column("any", "indices"), Column("any", "values")),
    output_words="list of dicts, one a text: indices (token ids, ascending) and values (their weights, float32), both"
    " ndarrays; every other weight is 0",
    full_words="list of dicts: indices, values, dimension, terms (the tokens with their weights, heaviest first), token"
    " count, whether the text was cut, fingerprint of the embedding space",
    auto_class="AutoModelForMaskedLM",
    head=LANGUAGE_HEAD,
    kind="sparse",
    embeds=True,
    settings=(
        Setting(
            "max_active_dims",
            ("integer", "null"),
            "Keep this many of the heaviest weights; null for all. By default what the checkpoint says, or else all.",
            minimum=1,
        ),
        prompts.ROLE,
        prompts.PROMPT_NAME,
        prompts.PROMPT,
        # Each token's logits are as many as the vocabulary: a batch of these is 120 MB for 30,000 words.
        BATCH_TOKENS,
    ),
    protocols=frozenset({"tei"}),
    row=answer_fields.SPARSE,
    full=(
        *answer_fields.SPARSE,
        *answer_fields.counts("dimension"),
        answer_fields.objects("terms", *answer_fields.texts("token"), Column("double", "weight")),
        *answer_fields.EMBEDDED,
    ),
    runner="hfspec.runtime.sentences.sparse_embedding:SparseEmbedding",
)
