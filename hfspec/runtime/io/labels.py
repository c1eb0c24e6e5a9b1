"""Logits as labels with scores, and the answers of every task that gives them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.formats.label_names import label_names
from hfspec.ir.artifact import FULL
from hfspec.runtime.io.answers import Table
from hfspec.runtime.io.functions import sigmoid, softmax
from hfspec.runtime.runner import Runner
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Labelled:
    """A row's result: every label with its score, best first, and the row's other facts for the full output."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]
    about: Mapping[str, Any]


def labelled(logits: Any, config: Any, function: str | None, about: Sequence[Mapping[str, Any]]) -> list[Labelled]:
    """The result of each row of ``logits``, (rows, labels) of float32 on the host, with its facts in ``about``.
    ``function``: sigmoid, softmax, none, or None for that of the checkpoint's config.
    """
    import numpy as np

    names = label_names(config)
    lines = _scores(np.asarray(logits), config, function).tolist()
    return [_ranked(line, names, mine) for line, mine in zip(lines, about, strict=True)]


class Labeller(Runner):
    """A runner whose answer to a row is labels with scores."""

    def standard(self, results: Sequence[Labelled], settings: Settings) -> Table:
        return _table(results, settings.get("top_k", 1))

    def answer(self, result: Labelled, settings: Settings, form: str) -> Any:
        """One row's label and score, or with ``top_k`` other than 1 a list of the best labels and their scores."""
        if form == FULL:
            return super().answer(result, settings, form)
        lines = [{"label": label, "score": score} for label, score in zip(result.labels, result.scores, strict=True)]
        top = settings.get("top_k", 1)
        return lines[0] if top == 1 else lines[:top]

    def full(self, results: Sequence[Labelled], settings: Settings) -> list[dict[str, Any]]:
        """Every label and score of each row, and its other facts."""
        return [{"labels": list(result.labels), "scores": list(result.scores), **result.about} for result in results]


def _table(results: Sequence[Labelled], top: int | None) -> Table:
    """label, score; with ``top`` other than 1 a line for each of the best labels, and the row it belongs to first."""
    if top == 1:
        columns = {"label": "string", "score": "double"}
        return Table(columns, tuple((result.labels[0], result.scores[0]) for result in results))
    lines = [
        (number, label, score)
        for number, result in enumerate(results)
        for label, score in list(zip(result.labels, result.scores, strict=True))[:top]
    ]
    return Table({"row": "long", "label": "string", "score": "double"}, tuple(lines))


def _scores(logits: Any, config: Any, function: str | None) -> Any:
    """The scores as transformers computes them: the checkpoint's problem_type decides, then the number of labels."""
    kind, several = config.problem_type, config.num_labels > 1
    if function is None and kind == "regression":
        function = "none"
    if function is None:
        function = "softmax" if several and kind != "multi_label_classification" else "sigmoid"
    if function == "none":
        return logits
    return softmax(logits) if function == "softmax" else sigmoid(logits)


def _ranked(scores: Sequence[float], names: Mapping[int, str], about: Mapping[str, Any]) -> Labelled:
    ranked = sorted(range(len(scores)), key=lambda place: -scores[place])
    return Labelled(tuple(names[place] for place in ranked), tuple(scores[place] for place in ranked), about)
