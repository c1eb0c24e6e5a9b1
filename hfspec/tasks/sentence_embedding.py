"""Dense sentence embeddings, by the sentence-transformers library's own pipeline of modules."""

from __future__ import annotations

from hfspec.ir.signature import Column, Tensor
from hfspec.tasks import answer_fields, prompts
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS

NORMALIZE = Setting("normalize_embeddings", ("boolean",), "Scale each embedding to length 1.", default=False)
TRUNCATE_DIM = Setting(
    "truncate_dim", ("integer", "null"), "Keep this many of the first dimensions; null for all.", minimum=1
)
PRECISION = Setting(
    "precision",
    ("string",),
    "The numbers of an embedding: float32; int8 or uint8, 256 levels between the ranges of quantization_ranges; binary"
    " or ubinary, one bit a dimension, eight of them in an int8 or uint8.",
    choices=("float32", "int8", "uint8", "binary", "ubinary"),
    default="float32",
)
QUANTIZATION_RANGES = Setting(
    "quantization_ranges",
    ("array",),
    "The ranges of int8 and uint8: a list of the least and a list of the greatest values, each of one number a"
    " dimension, or of one for all. Take them from float32 embeddings of texts like yours.",
    items="array",
)

TASK = Task(
    name="feature-extraction",
    library="sentence-transformers",
    aliases=("sentence-embedding",),
    summary="A dense embedding of each text, with the model's own pooling and normalisation.",
    inputs=(Column("string", "text"),),
    outputs=Tensor("float32", (-1, -1)),
    output_words="ndarray (texts, dimensions), of the dtype that precision says",
    full_words="list of dicts: embedding, token count, whether the text was cut, fingerprint of the embedding space",
    kind="dense",
    embeds=True,
    settings=(
        prompts.ROLE,
        prompts.PROMPT_NAME,
        prompts.PROMPT,
        NORMALIZE,
        TRUNCATE_DIM,
        PRECISION,
        QUANTIZATION_RANGES,
        BATCH_TOKENS,
    ),
    answers_as=("llm/v1/embeddings",),
    protocols=frozenset({"openai", "tei"}),
    full=(Column("array", "embedding"), *answer_fields.EMBEDDED),
    runner="hfspec.runtime.sentences.sentence_embedding:SentenceEmbedding",
)
