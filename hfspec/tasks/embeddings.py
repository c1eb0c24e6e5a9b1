"""Embeddings as the OpenAI API gives them, of models of either library."""

from __future__ import annotations

from dataclasses import replace

from hfspec.ir.signature import Column
from hfspec.tasks import openai, sentence_embedding
from hfspec.tasks.task import Task
from hfspec.tasks.text import TRUNCATION

SENTENCE_TRANSFORMERS = Task(
    name="llm/v1/embeddings",
    library="sentence-transformers",
    summary="The OpenAI API's embeddings, with the model's own pooling and normalisation.",
    inputs=(
        Column("any", "input"),
        *openai.optional("long", "dimensions"),
        *openai.optional("string", "encoding_format", "model", "user"),
    ),
    outputs=(Column("any"),),
    output_words="an object with a list of embeddings for one request, a list of such objects for a list",
    full_words="list of dicts, one a text: request, index, and what feature-extraction knows of it",
    kind="dense",
    embeds=True,
    settings=sentence_embedding.TASK.settings,
    protocols=frozenset({"openai", "tei"}),
    runner="hfspec.runtime.chat.openai_embeddings:OpenAIEmbeddings",
)
TRANSFORMERS = replace(
    SENTENCE_TRANSFORMERS,
    library="transformers",
    summary="The OpenAI API's embeddings, with the pooling and normalisation of the checkpoint's modules.json; without"
    " one, the mean of the tokens' last hidden states (the last token's where the model is causal).",
    auto_class="AutoModel",
    settings=(*sentence_embedding.TASK.settings, TRUNCATION),
)
