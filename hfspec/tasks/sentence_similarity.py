"""How much texts say the same, by the similarity of their embeddings."""

from __future__ import annotations

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column, Tensor
from hfspec.tasks import answer_fields, prompts
from hfspec.tasks.sentence_embedding import TRUNCATE_DIM
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS

TASK = Task(
    name="sentence-similarity",
    library="sentence-transformers",
    summary="How alike two texts are, by the model's own similarity function over their embeddings.",
    inputs=(
        Column("string", "source_sentence"),
        Column("string", "sentence", required=False),
        Column("any", "sentences", required=False),
    ),
    outputs=Tensor("float32", (-1,)),
    output_words="ndarray of scores, one a pair; of a source_sentence with sentences one a sentence, in their order;"
    " for several such rows a list of arrays",
    full_words="list of dicts: score (scores for sentences), similarity function, token counts, whether each text was"
    " cut",
    kind="dense",
    trial_row=FrozenDict({"sentence": "One short text.", "sentences": ("One short text.",)}),
    settings=(
        Setting(
            "similarity_fn_name",
            ("string",),
            "How two embeddings are compared: cosine, dot, or minus their euclidean or manhattan distance. By default"
            " what the checkpoint says, or else cosine.",
            choices=("cosine", "dot", "euclidean", "manhattan"),
        ),
        prompts.PROMPT_NAME,
        prompts.PROMPT,
        TRUNCATE_DIM,
        BATCH_TOKENS,
    ),
    full=(
        answer_fields.SCORE,
        answer_fields.SCORES,
        *answer_fields.texts("similarity"),
        answer_fields.many(Column("long", "tokens")),
        answer_fields.many(answer_fields.TRUNCATED),
    ),
    runner="hfspec.runtime.sentences.sentence_similarity:SentenceSimilarity",
)
