"""Texts of about the same length are encoded together, and their padding is not."""

from __future__ import annotations

import itertools
import random

import pytest

import hfspec
from hfspec.runtime.generation.encoding import grouped
from hfspec.runtime.scheduling.partition import PASS

TEXTS = ["the dog", "hello world", "a man is eating food in the rain " * 9, "a film"]


def cost(groups, lengths):
    return sum(len(group) * max(lengths[place] for place in group) + PASS for group in groups)


def test_groups_cost_least_of_all():
    chance = random.Random(5)
    for _ in range(60):
        lengths = [chance.choice([1, 5, 20, 60, 100, 400]) + chance.randrange(5) for _ in range(chance.randrange(1, 8))]
        found = grouped(lengths)
        assert sorted(itertools.chain(*found)) == list(range(len(lengths)))
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        cuts = itertools.product([False, True], repeat=len(order) - 1)
        best = min(cost(split(order, cut), lengths) for cut in cuts)
        assert cost(found, lengths) == best


def split(order, cut):
    groups = [[order[0]]]
    for place, begins in zip(order[1:], cut, strict=True):
        groups.append([place]) if begins else groups[-1].append(place)
    return groups


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("name", ["t5", "bart", "marian"])
@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_padding_is_not_encoded_and_answers_are_those_alone(build, checkpoint, name, beams):
    settings = {"max_new_tokens": 8, "num_beams": beams}
    predictor = hfspec.load(build(checkpoint(name), "summarization"), model_config=settings)
    texts = TEXTS * 3
    alone = [predictor.predict(text, outputs="full")[0] for text in texts]
    shapes = []
    encoder = predictor.components()["model"].get_encoder()
    hook = encoder.register_forward_pre_hook(
        lambda module, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    assert predictor.predict(texts, outputs="full") == alone
    hook.remove()
    lengths = [row["prompt_tokens"] for row in alone]
    assert sum(rows for rows, _ in shapes) == len(texts)
    assert sum(rows * width for rows, width in shapes) < len(texts) * max(lengths) / 2


def test_texts_of_one_length_are_encoded_at_once(build, checkpoint):
    predictor = hfspec.load(build(checkpoint("t5"), "summarization"), model_config={"max_new_tokens": 5})
    calls = []
    encoder = predictor.components()["model"].get_encoder()
    hook = encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    predictor.predict(["the dog"] * 5)
    hook.remove()
    assert calls == [1]
