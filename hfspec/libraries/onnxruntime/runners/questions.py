"""Answers in a context by a graph."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.libraries.onnxruntime.runners.graph_runner import GraphRunner
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.questions.question_answering import QuestionAnswering, Reading, Sides
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings


class GraphQuestionAnswering(GraphRunner, QuestionAnswering):
    """The span of a context that answers a question."""

    def run(self, batch: Sequence[Item[Reading]], settings: Settings) -> Sides:
        starts, ends = self.model([item.content.window.inputs for item in batch])
        lengths = [item.length for item in batch]
        return Computed(starts, lengths, masked=True), Computed(ends, lengths, masked=True)
