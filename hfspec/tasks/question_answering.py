"""Answers that are spans of a context."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import FastTokenizerNeed, Task
from hfspec.tasks.text import BATCH_TOKENS

SPAN = (*answer_fields.texts("answer"), answer_fields.SCORE, *answer_fields.counts("start", "end"))
TASK = Task(
    name="question-answering",
    library="transformers",
    summary="The span of each context that answers the question asked of it.",
    inputs=(Column("string", "question"), Column("string", "context")),
    outputs=(Column("string"),),
    output_words="list[str], the best answer of each row",
    full_words="list of dicts: answer, score, start, end (characters of the context), answers (top_k of them), windows",
    auto_class="AutoModelForQuestionAnswering",
    settings=(
        Setting(
            "top_k",
            ("integer",),
            "How many answers the full output lists, best first; the standard output is the best one.",
            minimum=1,
            default=1,
        ),
        Setting("max_answer_len", ("integer",), "How many tokens an answer may have at most.", minimum=1, default=15),
        Setting(
            "max_seq_len",
            ("integer",),
            "How many tokens question and context may have together in one window; a longer context is read in several."
            " By default 384, or what the model can read where that is less.",
            minimum=1,
        ),
        Setting(
            "doc_stride",
            ("integer",),
            "How many tokens two windows of a context share; by default 128, or half a window where that is less.",
            minimum=0,
        ),
        Setting(
            "max_question_len",
            ("integer",),
            "Cut a question that has more tokens than this; by default none is cut.",
            minimum=1,
        ),
        Setting(
            "handle_impossible_answer",
            ("boolean",),
            "Allow the empty answer, for models trained to say that the context has none (SQuAD 2.0).",
            default=False,
        ),
        Setting(
            "align_to_words",
            ("boolean",),
            "Widen an answer to whole words; turn it off for languages written without spaces.",
            default=True,
        ),
        BATCH_TOKENS,
    ),
    fast_tokenizer=(
        FastTokenizerNeed(
            "which characters a token is made of, so that no answer can be found in the context",
            expected="a tokenizer with a tokenizer.json",
            remedy="name such a tokenizer under components.tokenizer",
        ),
    ),
    full=(*SPAN, answer_fields.objects("answers", *SPAN), *answer_fields.counts("windows")),
    runner="hfspec.runtime.questions.question_answering:QuestionAnswering",
)
