"""Pieces of a streamed text: whole characters, nothing of a stop text, and together the text itself."""

from __future__ import annotations

import pytest

from hfspec.runtime.generation import stop_text
from hfspec.runtime.generation.causal_generation import Continuation, Prompt
from hfspec.runtime.generation.streaming import certain, pieces
from tests.runtime.texts import MIXED


class Tokens:
    """A tensor's two methods that a streamer uses."""

    def __init__(self, *tokens):
        self.tokens = tokens

    def reshape(self, *shape):
        return self

    def tolist(self):
        return list(self.tokens)


@pytest.fixture(scope="module")
def words():
    from tests.checkpoints.vocabulary import gpt2

    return gpt2(512)


def streamed(words, text, stops):
    """The pieces of a model that says exactly this text, and the whole."""
    ids = words(text)["input_ids"]
    cut = stop_text.cut(words, ids, stops)
    whole = text if cut is None else cut.text

    def generate(stream):
        stream.put(Tokens(1, 2, 3))
        for token in ids if cut is None else ids[: cut.tokens]:
            stream.put(Tokens(token))
        stream.end()
        return Continuation(Prompt("", [], 0, 0), whole, len(ids), stopped=True)

    return list(pieces(words, stops, generate)), whole


@pytest.mark.parametrize("text", [text for text in MIXED if text])
@pytest.mark.parametrize("stops", [(), ("o",), ("\n", "  "), ("，没",), ("👩‍👧",), ("not there",)])
def test_pieces_are_whole_characters_that_make_up_the_text(words, text, stops):
    parts, whole = streamed(words, text, stops)
    assert "".join(parts) == whole
    assert whole == min((text.split(stop)[0] for stop in stops), key=len, default=text)
    assert not any("�" in part or part == "" for part in parts)
    if len(whole) > 40 and not stops:
        assert len(parts) > 3


def test_what_may_become_a_stop_text_is_held_back_until_it_does_not():
    assert certain("hello E", ("END", "xy")) == "hello "
    assert certain("hello EN", ("END",)) == "hello "
    assert certain("hello ENx", ("END", "xy")) == "hello EN"
    assert certain("hello END", ("END",)) == "hello "
    assert certain("café�", ()) == "café"


def test_a_stop_text_at_the_end_that_never_comes_whole_is_text(words):
    parts, whole = streamed(words, "the end is ne", ("never",))
    assert "".join(parts) == whole == "the end is ne"


@pytest.mark.parametrize(
    ("text", "stops", "before"),
    [("abcdef", ("cd",), "ab"), ("abcdef", ("ef", "bc"), "a"), ("abc", ("x",), None), ("abc", ("abc",), "")],
)
def test_the_first_stop_text_cuts(text, stops, before):
    assert stop_text.before(text, stops) == before
