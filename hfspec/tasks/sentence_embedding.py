"""Dense sentence embeddings, by the sentence-transformers library's own pipeline of modules."""

from __future__ import annotations

from hfspec.ir.signature import Column, Tensor
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS

TASK = Task(
    name="feature-extraction",
    library="sentence-transformers",
    aliases=("sentence-embedding",),
    summary="A dense embedding of each text, with the model's own pooling and normalisation.",
    inputs=(Column("string", "text"),),
    outputs=Tensor("float32", (-1, -1)),
    output_words="ndarray (texts, dimensions)",
    full_words="list of dicts: embedding, token count, whether the text was cut",
    kind="dense",
    settings=(
        Setting("prompt_name", ("string",), "The name of one of the model's own prompts, put before each text."),
        Setting("prompt", ("string",), "A text put before each text; wins over prompt_name."),
        Setting("normalize_embeddings", ("boolean",), "Scale each embedding to length 1.", default=False),
        Setting("truncate_dim", ("integer", "null"), "Keep this many of the first dimensions.", minimum=1),
        BATCH_TOKENS,
    ),
    runner="hfspec.runtime.sentence_embedding:SentenceEmbedding",
)
