"""Labels that each row brings along, scored by a model of entailment: each label makes a hypothesis, and the model says
whether the text entails it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Any

from hfspec.errors import InputError, ParamsError
from hfspec.formats.label_names import label_numbers
from hfspec.inputs.row import Row
from hfspec.runtime.io.answers import Table
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.functions import softmax
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.sequence_classifier import SequenceClassifier
from hfspec.runtime.text.tokens import OR_CUT, Tokens, encode
from hfspec.settings.precedence import Settings


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A text with one of its labels, ready for the model."""

    text: str
    label: str
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Judged:
    """A hypothesis with the model's logits for it, one an entailment label."""

    hypothesis: Hypothesis
    logits: list[float]


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row's result: its labels, duplicates kept, best first."""

    text: str
    labels: tuple[str, ...]
    scores: tuple[float, ...]


class ZeroShotClassification(SequenceClassifier):
    """A runner that answers as the transformers zero-shot-classification pipeline does for one row alone."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        numbers = label_numbers(self.model.config)
        # The number of the label that says entailment; the plan has checked that there is one.
        self.entailment = next(
            number for label, number in numbers.items() if label.lower().startswith(self.task.needed_label)
        )

    def check(self, settings: Settings) -> None:
        try:
            hypothesis(settings["hypothesis_template"], "")
            if settings.get("candidate_labels") is not None:
                labels(settings["candidate_labels"])
        except ValueError as error:
            raise ParamsError(str(error)) from error

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Hypothesis]]:
        pairs = [(row, *pair) for row in rows for pair in _hypotheses(row, settings)]
        texts = [row.values["sequences"] for row, _, _ in pairs]
        tokens = encode(self.tokenizer, texts, [sentence for _, _, sentence in pairs])
        limit = self.limit if settings.get("truncation") else self.most
        inputs = [
            mine if len(mine["input_ids"]) <= limit else self._cut(row, sentence, mine, settings)
            for (row, _, sentence), mine in zip(pairs, tokens, strict=True)
        ]
        return [
            Item(row.number, len(mine["input_ids"]), Hypothesis(row.values["sequences"], label, mine), group)
            for (row, label, _), mine, group in zip(pairs, inputs, self.groups(inputs), strict=True)
        ]

    def _cut(self, row: Row, sentence: str, tokens: Tokens, settings: Settings) -> Tokens:
        """The pair with its text cut and its hypothesis whole; raises InputError without truncation or without room."""
        length = len(tokens["input_ids"])
        if not settings.get("truncation"):
            raise InputError(
                f"the text and the hypothesis {sentence!r} have {length} tokens together and the model reads at most"
                f" {self.most}; shorten the text, {OR_CUT}.",
                row=row.number,
            )
        text_tokens = len(self.tokenizer(row.values["sequences"], add_special_tokens=False, verbose=False)["input_ids"])
        if length - text_tokens >= self.limit:
            raise InputError(
                f"the hypothesis {sentence!r} alone takes {length - text_tokens} of the {self.limit} tokens that the"
                " model reads, which leaves no room for the text; shorten the label or the hypothesis_template.",
                row=row.number,
            )
        (cut,) = encode(
            self.tokenizer, [row.values["sequences"]], [sentence], truncation="only_first", max_length=self.limit
        )
        return cut

    def run(self, batch: Sequence[Item[Hypothesis]], settings: Settings) -> Arriving | Computed:
        return self.logits([item.content.tokens for item in batch])

    def read(self, output: Arriving | Computed, batch: Sequence[Item[Hypothesis]], settings: Settings) -> list[Judged]:
        lines = output.here().tolist()
        return [Judged(item.content, line) for item, line in zip(batch, lines, strict=True)]

    def joined(self, parts: Sequence[Judged], settings: Settings) -> Ranked:
        import numpy as np

        logits = np.array([part.logits for part in parts], np.float32)
        if settings["multi_label"] or len(parts) == 1:
            against = -1 if self.entailment == 0 else 0
            scores = softmax(logits[:, [against, self.entailment]])[:, 1].tolist()
        else:
            scores = softmax(logits[:, self.entailment]).tolist()
        order = sorted(range(len(parts)), key=lambda place: -scores[place])
        names = tuple(parts[place].hypothesis.label for place in order)
        return Ranked(parts[0].hypothesis.text, names, tuple(scores[place] for place in order))

    def standard(self, results: Sequence[Ranked], settings: Settings) -> Table:
        lines = [
            (row.text, label, score) for row in results for label, score in zip(row.labels, row.scores, strict=True)
        ]
        return Table({"sequence": "string", "labels": "string", "scores": "double"}, tuple(lines))

    def answer(self, result: Ranked, settings: Settings, form: str) -> dict[str, Any]:
        """The same in both forms: a row has several labels."""
        return self.full([result], settings)[0]

    def full(self, results: Sequence[Ranked], settings: Settings) -> list[dict[str, Any]]:
        return [{"sequence": row.text, "labels": list(row.labels), "scores": list(row.scores)} for row in results]


def hypothesis(template: str, label: str) -> str:
    """The template with the label in the place of ``{}`` and ``{{``, ``}}`` as braces. No other field is looked up.

    Raises ValueError, saying why, for a template that has another field or no place for the label.
    """
    remedy = "write {} where the label goes, and braces that are meant as such twice"
    try:
        pieces = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(f"hypothesis_template {template!r} cannot be read ({error}); {remedy}.") from error
    fields = [piece[1:] for piece in pieces if piece[1] is not None]
    if not fields:
        raise ValueError(f"hypothesis_template {template!r} has no place for the label; {remedy}.")
    if any(field not in {("", "", None), ("0", "", None)} for field in fields):
        raise ValueError(f"hypothesis_template {template!r} has another field than {{}}; {remedy}.")
    return "".join(literal + ("" if field is None else label) for literal, field, _, _ in pieces)


def labels(value: Any) -> list[str]:
    """The labels in a list, or in a text with commas between them; raises ValueError, saying why, for anything else."""
    names = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(names, str):
        names = [label.strip() for label in names.split(",") if label.strip()]
    if not isinstance(names, list | tuple) or not all(isinstance(label, str) for label in names):
        raise ValueError(
            "candidate_labels must be a list of texts, or one text with commas between the labels; found"
            f" {value!r:.80} ({type(value).__name__})."
        )
    if not names:
        raise ValueError("candidate_labels names no label; give at least one.")
    if any(not label.strip() for label in names):
        raise ValueError("candidate_labels has an empty label.")
    return list(names)


def _hypotheses(row: Row, settings: Settings) -> list[tuple[str, str]]:
    """The row's labels, each with its hypothesis; raises InputError naming the row."""
    names = row.values.get("candidate_labels", settings.get("candidate_labels"))
    template = row.values.get("hypothesis_template", settings["hypothesis_template"])
    if names is None:
        raise InputError(
            "no labels to choose from: give the row a column candidate_labels, or set candidate_labels in model_config"
            " or params.",
            row=row.number,
        )
    try:
        return [(label, hypothesis(template, label)) for label in labels(names)]
    except ValueError as error:
        raise InputError(str(error), row=row.number) from error
