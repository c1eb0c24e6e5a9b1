"""Windows are those that the tokenizer itself makes when it is told to overflow, token for token."""

from __future__ import annotations

import random

import pytest

from hfspec.errors import InputError
from hfspec.runtime.questions.context_windows import Size, windows
from tests.checkpoints import vocabulary

WORDS = ("the", "quick", "brown", "fox", "Zoë", "漢字", "42nd-street,", "jumps!", "un-likely", "doggedness", "🎬")


def made(words, question, context, size, *, question_first=True):
    texts = (question, context) if question_first else (context, question)
    encoded = words([texts[0]], [texts[1]], padding=False, verbose=False)
    inputs = {name: list(encoded[name][0]) for name in encoded}
    return windows(3, inputs, encoded.encodings[0], size, context=int(question_first), null_token=words.cls_token_id)


@pytest.mark.parametrize("kind", ["wordpiece", "roberta"])
@pytest.mark.parametrize("question_first", [True, False])
def test_windows_are_the_tokenizers_own(kind, question_first):
    words = getattr(vocabulary, kind)(10_000)
    draw = random.Random(5)
    counts = set()
    for _ in range(150):
        question, context = (" ".join(draw.choices(WORDS, k=draw.randint(1, most))) for most in (6, 60))
        taken = len(words(question, "a")["input_ids"]) - 1
        tokens = taken + draw.randint(2, 60)
        share = draw.randint(0, tokens - taken - 1)
        texts = (question, context) if question_first else (context, question)
        truth = words(
            *texts,
            truncation="only_second" if question_first else "only_first",
            max_length=tokens,
            stride=share,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        found = made(words, question, context, Size(tokens, share), question_first=question_first)
        counts.add(len(found))
        assert [window.inputs["input_ids"] for window in found] == truth["input_ids"]
        assert [window.inputs["attention_mask"] for window in found] == truth["attention_mask"]
        for window, offsets in zip(found, truth["offset_mapping"], strict=True):
            assert list(window.offsets) == offsets[window.first : window.last]
            assert window.null == 0
    assert len(counts) > 5


def test_the_token_for_no_answer_may_come_last():
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.WordLevel({"<cls>": 0, "<sep>": 1, "a": 2, "b": 3}, unk_token="<sep>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    special = [("<sep>", 1), ("<cls>", 0)]
    backend.post_processor = processors.TemplateProcessing(
        single="$A <sep> <cls>", pair="$A <sep> $B:1 <sep>:1 <cls>:2", special_tokens=special
    )
    words = PreTrainedTokenizerFast(tokenizer_object=backend, cls_token="<cls>", sep_token="<sep>")
    for question_first in (True, False):
        found = made(words, "a a", "b b b b b b b", Size(8, 1), question_first=question_first)
        assert [window.last - window.first for window in found] == [3, 3, 3]
        assert [window.inputs["input_ids"][window.null] for window in found] == [0, 0, 0]
        assert {window.null for window in found} == {7}


def test_a_share_that_the_room_has_no_place_for_is_half_of_it():
    words = vocabulary.wordpiece(10_000)
    found = made(words, "a a a", "the fox " * 10, Size(10, 9))
    assert [window.last - window.first for window in found] == [4] * 9
    assert [window.offsets[0] for window in found[:3]] == [(0, 3), (8, 11), (16, 19)]


def test_all_of_the_context_is_read_even_a_token_at_a_time():
    words = vocabulary.wordpiece(10_000)
    found = made(words, "a a a", "the fox the fox", Size(7, 3))
    assert [window.offsets for window in found] == [((0, 3),), ((4, 7),), ((8, 11),), ((12, 15),)]


@pytest.mark.parametrize(
    ("context", "tokens", "words"),
    [("the fox", 6, "takes 6 tokens and a window has 6"), ("", 40, "no token"), ("\x07", 40, "no token")],
)
def test_what_leaves_nothing_to_read_is_refused_by_its_row(context, tokens, words):
    with pytest.raises(InputError, match=words) as caught:
        made(vocabulary.wordpiece(10_000), "a a a", context, Size(tokens, 0))
    assert caught.value.row == 3
