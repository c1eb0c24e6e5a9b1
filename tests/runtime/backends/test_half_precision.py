"""Weights of 16 bits on a CPU that is slower with them: the load says so, and so does a compile."""

from __future__ import annotations

import logging

import pytest

import hfspec
from hfspec.runtime.backends import half_precision
from tests.compiling import write_spec


@pytest.fixture(scope="module")
def artifact(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("half")
    spec = write_spec(folder / "spec", checkpoint("bert-sentiment"), dtype="bfloat16")
    return hfspec.compile(spec, output=folder / "out", run=False).path


@pytest.mark.parametrize(
    ("ratio", "dtype", "said"),
    [(3.04, None, "3.0 times as long"), (1.1, None, ""), (3.04, "float16", "in float16"), (3.04, "float32", "")],
)
def test_a_load_says_how_much_longer_products_take(artifact, monkeypatch, caplog, ratio, dtype, said):
    monkeypatch.setattr(half_precision, "times_float32", lambda _: ratio)
    with caplog.at_level(logging.WARNING, "hfspec"):
        predictor = hfspec.load(artifact, dtype=dtype)
    messages = [record.getMessage() for record in caplog.records if "Products in" in record.getMessage()]
    assert len(messages) == bool(said)
    assert all(said in message and "dtype='float32'" in message for message in messages)
    assert ("Products in" in predictor.trial_note()) == bool(said)


def test_products_are_timed_beside_those_in_float32():
    assert half_precision.times_float32("bfloat16") > 0
