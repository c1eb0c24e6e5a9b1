"""Answers to queries over tables, by TAPAS (https://huggingface.co/docs/transformers/model_doc/tapas)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from hfspec.errors import InputError, UsageError
from hfspec.inputs.row import Row
from hfspec.runtime.io import finite
from hfspec.runtime.loading.model import find_model_class, load_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.questions.tables import TextTable, text_table
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.settings.precedence import Settings

Inputs: TypeAlias = dict[str, list[Any]]
Coordinates: TypeAlias = tuple[tuple[int, int], ...]

CHOSEN = 0.5  # a cell is part of the answer when its tokens' mean probability is above this
SEGMENT, COLUMN, ROW, PREVIOUS = range(4)  # places in a token's seven type ids; columns and rows count from 1


@dataclass(frozen=True, slots=True)
class Question:
    """A query over its table as the model's inputs. ``before``: the inputs of the queries before it in one
    conversation, the first one first.
    """

    table: TextTable
    inputs: Inputs
    truncated: bool
    before: tuple[Inputs, ...] = ()


@dataclass(frozen=True, slots=True)
class Chosen:
    """The model's choice: cells by (row, column) in that order, each with its probability, and an aggregator, None
    where the model has none. ``plain``: the aggregator says to give the cells as they are.
    """

    coordinates: Coordinates
    cells: tuple[str, ...]
    scores: tuple[float, ...]
    aggregator: str | None
    plain: bool
    tokens: int
    truncated: bool

    @property
    def answer(self) -> str:
        cells = ", ".join(self.cells)
        return cells if self.plain else f"{self.aggregator} > {cells}"


class TableQuestionAnswering(Runner):
    """A runner that answers as the transformers table-question-answering pipeline does for one row alone."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.tokenizer = load_tokenizer(request)
        if not hasattr(self.tokenizer, "max_row_id"):
            raise UsageError(
                f"{self.tokenizer.__class__.__name__} cannot read tables; the model needs a TapasTokenizer."
            )
        self.model, patches = load_model(request, find_model_class(request))
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer, patches=patches)
        self.device = request.device
        self.limit = cut_length(self.model, self.tokenizer)
        self.most = most_tokens(request, self.model)
        sizes = self.model.config.type_vocab_sizes
        self.most_columns = min(sizes[COLUMN], self.tokenizer.max_column_id) - 1
        self.most_rows = min(sizes[ROW], *sizes[4:6], self.tokenizer.max_row_id) - 1  # 4, 5: ranks within a column
        self.pad: dict[str, Any] = {
            "input_ids": pad_id(self.model, self.tokenizer),
            "token_type_ids": [0] * len(sizes),
        }

    def belonging(self, settings: Settings) -> Callable[[Row, Row], bool] | None:
        """Whether two rows are of one conversation: queries about one table that follow each other."""
        return _same_table if settings["sequential"] else None

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Question]]:
        questions: list[Question] = []
        for row in rows:
            question = self._question(row, settings)
            if settings["sequential"] and questions and questions[-1].table == question.table:
                question = replace(question, before=(*questions[-1].before, questions[-1].inputs))
            questions.append(question)
        return [
            Item(row.number, len(question.inputs["input_ids"]), question, row.number if question.before else None)
            for row, question in zip(rows, questions, strict=True)
        ]

    def _question(self, row: Row, settings: Settings) -> Question:
        query = row.values["query"]
        if not query.strip():
            raise InputError("column 'query': the text is empty; a query is needed.", row=row.number)
        table = text_table(row.values["table"], row.number)
        if len(table.columns) > self.most_columns:
            raise InputError(
                f"the table has {len(table.columns)} columns and the model reads at most {self.most_columns}.",
                row=row.number,
            )
        length = self._length(query, table)
        limit = self.limit if settings["truncation"] else self.most
        over = length > limit or len(table.rows) > self.most_rows
        if over and not settings["truncation"]:
            raise InputError(
                f"query and table have {length} tokens and {len(table.rows)} rows, and the model reads at most"
                f" {limit} tokens and {self.most_rows} rows; give a smaller table, or set truncation: true to have"
                " its cells and then its last rows cut.",
                row=row.number,
            )
        return Question(table, self._inputs(row, query, table, truncation=over), over)

    def _length(self, query: str, table: TextTable) -> int:
        """How many tokens query and table take whole."""
        names = [""] * len(table.columns) if self.tokenizer.strip_column_names else table.columns
        texts = [query, *names, *(cell for line in table.rows for cell in line)]
        return 2 + sum(len(self.tokenizer.tokenize(text)) for text in texts)

    def _inputs(self, row: Row, query: str, table: TextTable, *, truncation: bool) -> Inputs:
        import pandas as pd

        frame = pd.DataFrame(list(table.rows[: self.most_rows]), columns=list(table.columns), dtype=object)
        cut = {"truncation": "drop_rows_to_fit", "max_length": self.limit} if truncation else {}
        try:
            encoded = self.tokenizer(frame, query, padding=False, **cut)
        except ValueError as error:
            raise InputError(
                f"the query and the table's column names alone are longer than the {self.limit} tokens that the model"
                " reads.",
                row=row.number,
            ) from error
        return {name: list(encoded[name]) for name in encoded}

    def run(self, batch: Sequence[Item[Question]], settings: Settings) -> list[Chosen]:
        questions = [item.content for item in batch]
        if any(question.before for question in questions):
            return [self._last(question) for question in questions]
        return self._choices(questions)

    def _last(self, question: Question) -> Chosen:
        """The answer at the end of a conversation: the model reads each query with the answer to the one before it."""
        cells: Coordinates = ()
        for inputs in question.before:
            earlier = replace(question, inputs=_seeing(inputs, cells))
            cells = self._choices([earlier])[0].coordinates
        return self._choices([replace(question, inputs=_seeing(question.inputs, cells))])[0]

    def _choices(self, questions: Sequence[Question]) -> list[Chosen]:
        import torch

        inputs = padded([question.inputs for question in questions], self.pad, "right", self.device)
        with torch.inference_mode():
            output = self.model(**inputs)
        logits = output.logits.float().cpu()
        finite.check(logits, [len(question.inputs["input_ids"]) for question in questions], masked=True)
        scores = logits.sigmoid().tolist()
        aggregators = [None] * len(questions)
        if self.model.config.aggregation_labels and self.model.config.num_aggregation_labels:
            choices = output.logits_aggregation.float().cpu()
            finite.check(choices)
            aggregators = choices.argmax(-1).tolist()
        return [
            self._one(question, line, aggregator)
            for question, line, aggregator in zip(questions, scores, aggregators, strict=True)
        ]

    def _one(self, question: Question, scores: Sequence[float], aggregator: int | None) -> Chosen:
        cells = {place: score for place, score in _cell_scores(question.inputs, scores).items() if score > CHOSEN}
        coordinates = tuple(sorted(cells))
        config = self.model.config
        return Chosen(
            coordinates=coordinates,
            cells=tuple(question.table.rows[row][column] for row, column in coordinates),
            scores=tuple(cells[place] for place in coordinates),
            aggregator=None if aggregator is None else config.aggregation_labels.get(aggregator, str(aggregator)),
            plain=aggregator is None or aggregator == config.no_aggregation_label_index,
            tokens=len(question.inputs["input_ids"]),
            truncated=question.truncated,
        )

    def standard(self, results: Sequence[Chosen], settings: Settings) -> list[str]:
        return [result.answer for result in results]

    def full(self, results: Sequence[Chosen], settings: Settings) -> list[dict[str, Any]]:
        return [
            {
                "answer": result.answer,
                "coordinates": [list(place) for place in result.coordinates],
                "cells": list(result.cells),
                "scores": list(result.scores),
                "aggregator": result.aggregator,
                "tokens": result.tokens,
                "truncated": result.truncated,
            }
            for result in results
        ]


def _same_table(one: Row, other: Row) -> bool:
    try:
        tables = [text_table(row.values["table"], row.number) for row in (one, other)]
    except InputError:
        return False  # preprocess says of which row
    return tables[0] == tables[1]


def _cell_scores(inputs: Mapping[str, list[Any]], scores: Sequence[float]) -> dict[tuple[int, int], float]:
    """(row, column), counted from 0, of every cell that the model read -> the mean of its tokens' scores; ``scores``
    may go on beyond the tokens.
    """
    scores_of: dict[tuple[int, int], list[float]] = {}
    for types, score in zip(inputs["token_type_ids"], scores, strict=False):
        if types[SEGMENT] == 1 and types[COLUMN] > 0 and types[ROW] > 0:
            scores_of.setdefault((types[ROW] - 1, types[COLUMN] - 1), []).append(score)
    return {place: sum(mine) / len(mine) for place, mine in scores_of.items()}


def _seeing(inputs: Inputs, cells: Coordinates) -> Inputs:
    """The inputs with the tokens of these cells marked as the previous answer."""
    marked = [
        [
            *types[:PREVIOUS],
            int(types[SEGMENT] == 1 and (types[ROW] - 1, types[COLUMN] - 1) in cells),
            *types[PREVIOUS + 1 :],
        ]
        for types in inputs["token_type_ids"]
    ]
    return {**inputs, "token_type_ids": marked}
