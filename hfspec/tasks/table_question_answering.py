"""Answers that are cells of a table."""

from __future__ import annotations

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task
from hfspec.tasks.text import BATCH_TOKENS

TASK = Task(
    name="table-question-answering",
    library="transformers",
    summary="The cells of each table that answer the query, and how to aggregate them.",
    inputs=(Column("string", "query"), Column("any", "table")),
    outputs=(Column("string"),),
    output_words="list[str], the cells of each row's answer after their aggregator ('SUM > 3, 4')",
    full_words="list of dicts: answer, coordinates (row, column from 0), cells, scores, aggregator, tokens, truncated",
    auto_class="AutoModelForTableQuestionAnswering",
    trial_row=FrozenDict({"table": {"name": ["one", "other"], "number": ["1", "2"]}}),
    settings=(
        Setting(
            "sequential",
            ("boolean",),
            "Read successive queries over one table as a conversation: each sees the answer to the one before it.",
            default=False,
        ),
        Setting(
            "truncation",
            ("boolean",),
            "Cut a table that is longer than the model can read: cells first, then the last rows.",
            default=False,
        ),
        BATCH_TOKENS,
    ),
    full=(
        *answer_fields.texts("answer"),
        answer_fields.many(answer_fields.many(Column("long", "coordinates"))),
        answer_fields.many(Column("string", "cells")),
        answer_fields.SCORES,
        *answer_fields.texts("aggregator"),
        *answer_fields.counts("tokens"),
        answer_fields.TRUNCATED,
    ),
    runner="hfspec.runtime.questions.table_question_answering:TableQuestionAnswering",
)
