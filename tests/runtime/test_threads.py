"""Eight threads with settings and lengths of their own get through one predictor what each gets alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

import hfspec
from hfspec.errors import InputError
from tests.runtime.texts import close

WORDS = ["the", "house", "on", "the", "hill", "is", "a", "fine", "old", "film", "about", "nothing", "at", "all"]
THREADS, ROUNDS = 8, 6


def asked(place):
    """Texts of lengths of its own; those of odd places may be cut, and the last of them has to be."""
    texts = [" ".join(WORDS[(place + row) % 5 :] * (1 + row % 3))[: 12 + 7 * place + 3 * row] for row in range(4)]
    cuts = bool(place % 2)
    return [*texts, *([" ".join(WORDS * 80)] if cuts else [])], {"truncation": cuts}


def at_once(predictor, calls):
    """The answers of calls that are made at once, several times."""
    together = Barrier(len(calls))

    def call(data, params):
        together.wait()
        return [predictor.predict_json(data, params=params) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(len(calls)) as pool:
        waiting = [pool.submit(call, *each) for each in calls]
        return [done.result(timeout=200) for done in waiting]


SIGNATURE = {"params": {"truncation": {"type": "boolean", "default": False}}}


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("bert-sentiment", {}),
        ("gpt2", {"model_config": {"max_new_tokens": 4, "do_sample": False}}),
    ],
)
def test_threads_with_settings_of_their_own_get_their_own_answers(artifact, name, keys):
    predictor = hfspec.load(artifact(name, signature=SIGNATURE, **keys))
    calls = [asked(place) for place in range(THREADS)]
    expected = [predictor.predict_json(data, params=params) for data, params in calls]
    for answers, wanted in zip(at_once(predictor, calls), expected, strict=True):
        for answer in answers:
            assert answer == close(wanted)
    with pytest.raises(InputError):
        predictor.predict_json(" ".join(WORDS * 80), params={"truncation": False})


@pytest.mark.parametrize("name", ["minilm-like", "st-dense", "splade"])
def test_threads_with_texts_of_their_own_get_their_own_vectors(artifact, name):
    predictor = hfspec.load(artifact(name))
    calls = [([*asked(place)[0], " ".join(WORDS * 80)], None) for place in range(THREADS)]
    expected = [predictor.predict_json(data) for data, _ in calls]
    for answers, wanted in zip(at_once(predictor, calls), expected, strict=True):
        assert answers == [close(wanted)] * ROUNDS
