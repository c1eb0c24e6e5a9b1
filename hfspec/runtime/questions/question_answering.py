"""Extractive question answering: the span of a context that answers a question."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import InputError, ParamsError, UsageError
from hfspec.inputs.row import Row
from hfspec.runtime.io.finite import Computed
from hfspec.runtime.io.transfer import Arriving
from hfspec.runtime.loading.model import find_model_class, load_one_pass_model
from hfspec.runtime.loading.positions import cut_length, most_tokens
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.loading.tokenizer import load_tokenizer
from hfspec.runtime.questions import answer_spans
from hfspec.runtime.questions.answer_spans import Answer, Found
from hfspec.runtime.questions.context_windows import Size, Window, windows
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.text.token_batch import pad_id, padded
from hfspec.settings.precedence import Settings

Sides = tuple[Arriving | Computed, Arriving | Computed]

WINDOW, SHARE = 384, 128  # the defaults of transformers, where the model can read as much


@dataclass(frozen=True, slots=True)
class Reading:
    """A window to read, and the context that it is a part of."""

    context: str
    window: Window


@dataclass(frozen=True, slots=True)
class Answered:
    """A row's result: its answers, best first, and the number of windows of its context."""

    answers: tuple[Answer, ...]
    windows: int


class QuestionAnswering(Runner):
    """A runner that answers as the question-answering pipeline of transformers 4.57 does for one row alone."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.tokenizer = load_tokenizer(request)
        if not self.tokenizer.is_fast:
            name = self.tokenizer.__class__.__name__
            raise UsageError(
                f"{name} does not tell which characters a token is made of, so that no answer"
                " can be found in the context; compile from a checkpoint with a tokenizer.json."
            )
        self.model, patches = load_one_pass_model(request, find_model_class(request))
        self.loaded = Loaded(model=self.model, tokenizer=self.tokenizer, patches=patches)
        self.device = request.device
        self.limit = cut_length(self.model, self.tokenizer)
        self.most = most_tokens(request, self.model)
        self.pad = {"input_ids": pad_id(self.model, self.tokenizer)}
        self.takes = frozenset(inspect.signature(self.model.forward).parameters)
        self.question_first = self.tokenizer.padding_side == "right"

    def check(self, settings: Settings) -> None:
        size = self._size(settings)
        if size.tokens > self.most:
            raise ParamsError(f"max_seq_len is {size.tokens}, but the model reads at most {self.most} tokens.")
        if size.share >= size.tokens:
            raise ParamsError(
                f"doc_stride is {size.share}, but a window has {size.tokens} tokens (max_seq_len): two windows cannot"
                " share all of them."
            )

    def _size(self, settings: Settings) -> Size:
        tokens = settings.get("max_seq_len") or min(self.limit, WINDOW)
        share = settings.get("doc_stride")
        return Size(tokens, min(tokens // 2, SHARE) if share is None else share)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Reading]]:
        for row in rows:
            _refuse_blank(row)
        if not rows:
            return []
        contexts = [row.values["context"] for row in rows]
        questions = self._questions([row.values["question"] for row in rows], settings)
        texts = (questions, contexts) if self.question_first else (contexts, questions)
        encoded = self.tokenizer(*texts, padding=False, verbose=False)
        return [
            Item(row.number, len(window.inputs["input_ids"]), Reading(contexts[place], window))
            for place, row in enumerate(rows)
            for window in self._windows(row, encoded, place, settings)
        ]

    def _windows(self, row: Row, encoded: Any, place: int, settings: Settings) -> list[Window]:
        inputs = {name: list(encoded[name][place]) for name in encoded if name in self.takes}
        side, null = int(self.question_first), self.tokenizer.cls_token_id
        return windows(
            row.number, inputs, encoded.encodings[place], self._size(settings), context=side, null_token=null
        )

    def _questions(self, questions: list[str], settings: Settings) -> list[str]:
        """The questions, each cut to the tokens that a setting allows."""
        longest = settings.get("max_question_len")
        if longest is None:
            return questions
        encoded = self.tokenizer(questions, add_special_tokens=False, padding=False, verbose=False)
        return [
            question[: encoding.offsets[longest - 1][1]] if len(encoding.ids) > longest else question
            for question, encoding in zip(questions, encoded.encodings, strict=True)
        ]

    def run(self, batch: Sequence[Item[Reading]], settings: Settings) -> Sides:
        """The logits of an answer's start and of its end, (rows, tokens) each."""
        import torch

        inputs = padded([item.content.window.inputs for item in batch], self.pad, "right", self.device)
        options = {"use_cache": False} if "use_cache" in self.takes else {}
        with torch.inference_mode():
            output = self.model(**inputs, **options)
            lengths = [item.length for item in batch]
            starts, ends = output.start_logits.float(), output.end_logits.float()
            return Arriving(starts, lengths, masked=True), Arriving(ends, lengths, masked=True)

    def read(self, output: Sides, batch: Sequence[Item[Reading]], settings: Settings) -> list[Found]:
        import numpy as np

        starts, ends = (np.asarray(side.here()) for side in output)
        align = settings["align_to_words"]
        # More candidates than top_k: of several in the same words, one remains.
        count = settings["top_k"] * 2 + 10 if align else settings["top_k"]
        return [
            answer_spans.found(
                item.content.context,
                item.content.window,
                (starts[place], ends[place]),
                count,
                settings["max_answer_len"],
                align=align,
            )
            for place, item in enumerate(batch)
        ]

    def joined(self, parts: Sequence[Found], settings: Settings) -> Answered:
        may_be_none = settings["handle_impossible_answer"]
        return Answered(answer_spans.joined(parts, settings["top_k"], may_be_none=may_be_none), len(parts))

    def standard(self, results: Sequence[Answered], settings: Settings) -> list[str]:
        return [result.answers[0].text for result in results]

    def full(self, results: Sequence[Answered], settings: Settings) -> list[dict[str, Any]]:
        return [
            {
                **result.answers[0].record(),
                "answers": [answer.record() for answer in result.answers],
                "windows": result.windows,
            }
            for result in results
        ]


def _refuse_blank(row: Row) -> None:
    for name in ("question", "context"):
        if not row.values[name].strip():
            raise InputError(
                f"column {name!r}: the text is empty; a question and a context are needed.", row=row.number
            )
