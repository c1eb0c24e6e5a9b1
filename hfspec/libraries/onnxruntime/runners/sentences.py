"""Texts to sentence vectors by a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.libraries.onnxruntime.loading import Graph
from hfspec.libraries.onnxruntime.runners.graph_runner import tokenizer_of
from hfspec.runtime.chat.openai_embeddings import OpenAIEmbeddings
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_embedding import SentenceEmbedding
from hfspec.runtime.sentences.sentence_encoder import Text, prompt_tokens, read_texts
from hfspec.runtime.sentences.sentence_runner import SentenceRunner
from hfspec.runtime.sentences.sentence_similarity import SentenceSimilarity
from hfspec.runtime.text.token_batch import filled
from hfspec.settings.precedence import Settings

POOLING_MASK = "pooling_mask"


class GraphEncoder:
    """Texts to sentence vectors, pooling and every module behind it in the graph."""

    size: int
    most: int
    takes: Sequence[str]

    def __init__(self, request: LoadRequest) -> None:
        self.model = Graph(request.model_folder, request.threads)
        self.tokenizer = tokenizer_of(request, self.model)
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer)
        vars(self).update(self.model.attributes)

    def prepare(self, texts: Sequence[str], prompt: str, *, whole: bool = False) -> list[Text]:
        return read_texts(self.tokenizer, [prompt + text for text in texts], self.takes, self.most if whole else None)

    def encode(self, batch: Sequence[Text], prompt: str) -> Any:
        rows = [text.inputs for text in batch]
        pooling = self.model.pooling
        if POOLING_MASK not in self.model.inputs and pooling is None:
            return self.model(rows)[0]
        is_left_out = pooling is None or not pooling["config"].get("include_prompt", True)
        left_out = prompt_tokens(self.tokenizer, prompt) if is_left_out else 0
        inputs = [{POOLING_MASK: [0] * left_out + [1] * (len(row["input_ids"]) - left_out), **row} for row in rows]
        vectors = self.model(inputs)[0]
        if pooling is None:
            return vectors
        return self.model.pooled(vectors, filled(inputs, {}, "right", [POOLING_MASK])[POOLING_MASK])


class GraphSentences(SentenceRunner):
    """Sentence vectors by a graph."""

    def load_encoder(self, request: LoadRequest) -> GraphEncoder:
        return GraphEncoder(request)

    def vectors(self, batch: Sequence[Item[Text]], settings: Settings) -> Computed:
        vectors = self.encoder.encode([item.content for item in batch], self.prompts.text(settings))
        return Computed(vectors[:, : settings.get("truncate_dim") or vectors.shape[1]])


class GraphSentenceEmbedding(GraphSentences, SentenceEmbedding):
    """Dense sentence embeddings."""


class GraphOpenAIEmbeddings(GraphSentences, OpenAIEmbeddings):
    """Embeddings as the OpenAI API gives them."""


class GraphSentenceSimilarity(GraphSentences, SentenceSimilarity):
    """Similarities of texts."""
