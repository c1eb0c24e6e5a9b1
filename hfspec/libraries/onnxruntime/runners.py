"""The runners of graphs: each is its task's own, with the graph in the place of torch's model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hfspec.libraries.onnxruntime.loading import Graph
from hfspec.libraries.onnxruntime.tokenizer import GraphTokenizer
from hfspec.runtime.chat.openai_embeddings import OpenAIEmbeddings
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.functions import softmax
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.shared_tokenizer import SharedTokenizer
from hfspec.runtime.questions.question_answering import QuestionAnswering, Reading, Sides
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.sentences.sentence_embedding import SentenceEmbedding
from hfspec.runtime.sentences.sentence_encoder import Text, prompt_tokens, read_texts
from hfspec.runtime.sentences.sentence_runner import SentenceRunner
from hfspec.runtime.sentences.sentence_similarity import SentenceSimilarity
from hfspec.runtime.sentences.sparse_embedding import SparseEmbedding
from hfspec.runtime.sentences.text_ranking import TextRanking
from hfspec.runtime.text.padding import KnownPadding, Padding
from hfspec.runtime.text.sequence_classifier import SequenceClassifier
from hfspec.runtime.text.text_classification import TextClassification
from hfspec.runtime.text.token_batch import filled
from hfspec.runtime.text.token_classification import TokenClassification, Window
from hfspec.runtime.text.token_features import TokenFeatures
from hfspec.runtime.text.tokens import Tokens
from hfspec.runtime.text.zero_shot_classification import ZeroShotClassification
from hfspec.settings.precedence import Settings

POOLING_MASK = "pooling_mask"


class GraphRunner(Runner):
    """A runner whose attributes are those that torch's runner had when the graph was made."""

    model: Any

    def __init__(self, request: LoadRequest) -> None:
        self.take(request)
        self.model = Graph(request.model_folder, request.threads)
        self.tokenizer: Any = tokenizer_of(request, self.model)
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer)
        self.device = request.device
        self.padding: Padding = KnownPadding(is_seen=self.model.sees_padding)
        vars(self).update(self.model.attributes)


def tokenizer_of(request: LoadRequest, graph: Graph) -> Any:
    """The tokenizer beside a graph, for calls at once."""
    return SharedTokenizer(GraphTokenizer(request.model_folder, graph.tokenizer))


class GraphSequences(GraphRunner, SequenceClassifier):
    """A line of logits for each sequence."""

    def logits(self, rows: Sequence[Tokens]) -> Computed:
        return Computed(self.model(rows)[0])


class GraphTextClassification(GraphSequences, TextClassification):
    """Labels and scores for texts and pairs of texts."""


class GraphZeroShotClassification(GraphSequences, ZeroShotClassification):
    """Labels that each row brings along."""


class GraphTextRanking(GraphSequences, TextRanking):
    """Scores for pairs of texts."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.pair_template = None
        self.settle(request)


class GraphTokenClassification(GraphRunner, TokenClassification):
    """Labels for tokens."""

    def run(self, batch: Sequence[Item[Window]], settings: Settings) -> Computed | None:  # noqa: ARG002
        if not any(item.length for item in batch):
            return None
        (logits,) = self.model([item.content.tokens for item in batch])
        return Computed(softmax(logits), [item.length for item in batch])


class GraphTokenFeatures(GraphRunner, TokenFeatures):
    """The last hidden state of each token."""

    def run(self, batch: Sequence[Item[Tokens]], settings: Settings) -> Computed | None:  # noqa: ARG002
        if not any(item.length for item in batch):
            return None
        (states,) = self.model([item.content for item in batch])
        return Computed(states, [item.length for item in batch])


class GraphQuestionAnswering(GraphRunner, QuestionAnswering):
    """The span of a context that answers a question."""

    def run(self, batch: Sequence[Item[Reading]], settings: Settings) -> Sides:  # noqa: ARG002
        starts, ends = self.model([item.content.window.inputs for item in batch])
        lengths = [item.length for item in batch]
        return Computed(starts, lengths, masked=True), Computed(ends, lengths, masked=True)


class GraphSparseEmbedding(GraphRunner, SparseEmbedding):
    """Sparse embeddings, the pooling in the graph."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.settle(request)

    def run(self, batch: Sequence[Item[Text]], settings: Settings) -> Computed:
        (weights,) = self.model([item.content.inputs for item in batch])
        top = settings.get("max_active_dims")
        return Computed(weights if top is None else _heaviest(weights, top))


def _heaviest(weights: Any, count: int) -> Any:
    """(rows, vocabulary) with all but the ``count`` heaviest weights of each row set to 0."""
    import numpy as np

    if count >= weights.shape[1]:
        return weights
    places = np.argpartition(-weights, count - 1, axis=1)[:, :count]
    kept = np.zeros_like(weights)
    np.put_along_axis(kept, places, np.take_along_axis(weights, places, axis=1), axis=1)
    return kept


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
        kept = [{POOLING_MASK: [0] * left_out + [1] * (len(row["input_ids"]) - left_out), **row} for row in rows]
        made = self.model(kept)[0]
        if pooling is None:
            return made
        return self.model.pooled(made, filled(kept, {}, "right", [POOLING_MASK])[POOLING_MASK])


class GraphSentences(SentenceRunner):
    """Sentence vectors by a graph."""

    def load_encoder(self, request: LoadRequest) -> GraphEncoder:
        return GraphEncoder(request)

    def vectors(self, batch: Sequence[Item[Text]], settings: Settings) -> Computed:
        made = self.encoder.encode([item.content for item in batch], self.prompts.text(settings))
        return Computed(made[:, : settings.get("truncate_dim") or made.shape[1]])


class GraphSentenceEmbedding(GraphSentences, SentenceEmbedding):
    """Dense sentence embeddings."""


class GraphOpenAIEmbeddings(GraphSentences, OpenAIEmbeddings):
    """Embeddings as the OpenAI API gives them."""


class GraphSentenceSimilarity(GraphSentences, SentenceSimilarity):
    """Similarities of texts."""
