"""The scheduler: every item once, within the budget, groups apart, answers in order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hfspec
from hfspec.runtime.scheduling.batching import Budget, Item, run
from hfspec.runtime.scheduling.partition import PASS, partition

# A machine that is busy with other things is no fault of the scheduler.
patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
items = st.lists(st.tuples(st.integers(0, 50), st.sampled_from(["a", "b", None])), max_size=60).map(
    lambda pairs: [Item(row, length, f"row {row}", group) for row, (length, group) in enumerate(pairs)]
)


def batches(rows, budget):
    """Places in ``rows``, a list for each batch that is run."""
    made = []

    def forward(batch):
        made.append([next(place for place, row in enumerate(rows) if row is item) for item in batch])
        return lambda: batch

    run(rows, Budget(budget), forward)
    return made


@patient
@given(items, st.integers(1, 200))
def test_every_item_is_in_one_batch_within_the_budget(rows, budget):
    made = list(batches(rows, budget))
    assert sorted(place for batch in made for place in batch) == list(range(len(rows)))
    for batch in made:
        longest = max(rows[place].length for place in batch)
        assert len(batch) == 1 or len(batch) * longest <= budget
        assert len({rows[place].group for place in batch}) == 1


@patient
@given(items, st.integers(1, 200))
def test_answers_come_back_in_order(rows, budget):
    assert run(rows, Budget(budget), lambda batch: lambda: [item.content for item in batch]) == [
        item.content for item in rows
    ]


@patient
@given(
    st.lists(st.sampled_from([0, 1, 3, 20, 21, 60]), max_size=8).map(lambda found: sorted(found, reverse=True)),
    st.integers(1, 200),
    st.sampled_from([0, 7, PASS, None]),
)
def test_no_other_way_to_cut_them_costs_less(lengths, most, cost):
    found = partition(lengths, most, cost)
    assert [place for batch in found for place in batch] == list(range(len(lengths)))
    computed = [max(1, length) for length in lengths]

    def total(batches):
        """Of a way that is allowed; with the fewest batches first where that is asked for."""
        taken = [computed[batch[0]] * len(batch) for batch in batches]
        if any(tokens > most and len(batch) > 1 for tokens, batch in zip(taken, batches, strict=True)):
            return (10**9, 10**9)
        return (len(batches), sum(taken)) if cost is None else (sum(taken) + cost * len(batches), 0)

    ways = []
    for cuts in itertools.product([False, True], repeat=max(0, len(lengths) - 1)):
        ends = [place + 1 for place, cut in enumerate(cuts) if cut] + [len(lengths)]
        ways.append([range(begin, end) for begin, end in zip([0, *ends], ends, strict=False)])
    assert not lengths or total(found) == min(total(way) for way in ways)


def test_fewest_batches_are_fewest_whatever_their_padding():
    lengths = [100] + [10] * 10 + [1] * 99
    assert len(partition(lengths, 1000, None)) == 2
    assert len(partition(lengths, 1000, PASS)) > 2
    assert partition(lengths, 2**70, None) == [range(110)]


def test_rows_of_like_length_are_put_together():
    rows = [Item(row, length, None) for row, length in enumerate([50, 5, 50, 5, 5, 50, 5])]
    assert [[rows[place].length for place in batch] for batch in batches(rows, 150)] == [[50, 50, 50], [5, 5, 5, 5]]


def test_a_family_that_loses_a_row_is_found_out():
    with pytest.raises(ValueError, match="shorter"):
        run([Item(0, 1, "a"), Item(1, 1, "b")], Budget(10), lambda batch: lambda: ["one"])


@pytest.mark.parametrize(("name", "tokens"), [("bert-sentiment", 1024), ("st-dense", 1024), ("gpt2", 4096)])
def test_the_budget_is_what_suits_the_device_unless_the_spec_says(artifact, name, tokens):
    assert hfspec.load(artifact(name), device="cpu").settings()["batch_tokens"] == (tokens, "hfspec default")
    told = hfspec.load(artifact(name, model_config={"batch_tokens": 77}), device="cpu")
    assert told.settings()["batch_tokens"] == (77, "model_config")


def test_little_of_what_is_computed_is_padding(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"), device="cpu")
    computed, read = [], []

    def count(module, args, options):
        computed.append(options["attention_mask"].numel())
        read.append(int(options["attention_mask"].sum()))

    texts = ["a " * (1 + number * 37 % 100) for number in range(400)]
    predictor.predict(texts[:2])
    hook = predictor.components()["model"].register_forward_pre_hook(count, with_kwargs=True)
    computed.clear()
    read.clear()
    predictor.predict(texts)
    hook.remove()
    assert sum(computed) < 1.12 * sum(read)
    assert max(computed) <= 1024
