"""Sequences to scores by a graph: classification, zero-shot classification, ranking."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.libraries.onnxruntime.runners.graph_runner import GraphRunner
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.sentences.text_ranking import TextRanking
from hfspec.runtime.text.sequence_classifier import SequenceClassifier
from hfspec.runtime.text.text_classification import TextClassification
from hfspec.runtime.text.tokens import Tokens
from hfspec.runtime.text.zero_shot_classification import ZeroShotClassification


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
