"""Every form of input becomes the same rows; what is no input is refused with its row and what is allowed."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest

import hfspec
from hfspec.errors import InputError
from hfspec.inputs.rows import Columns, to_rows
from hfspec.ir.signature import Column
from hfspec.tasks.table import find


def columns(task, declared=None):
    found = find("transformers", task)
    return Columns(found, found.inputs if declared is None else declared)


def values(data, task="text-classification", declared=None):
    rows = to_rows(data, columns(task, declared))
    assert [row.number for row in rows] == list(range(len(rows)))
    return [dict(row.values) for row in rows]


AB = [{"text": "a"}, {"text": "b"}]
PAIRS = [{"text": "a", "text_pair": "x"}, {"text": "b", "text_pair": "y"}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("a", AB[:1]),
        (np.str_("a"), AB[:1]),
        (np.array("a"), AB[:1]),
        (["a"], AB[:1]),
        (["a", "b"], AB),
        (("a", "b"), AB),
        (np.array(["a", "b"]), AB),
        (np.array(["a", "b"], dtype=object), AB),
        (np.array([["a"], ["b"]]), AB),
        ({"text": "a"}, AB[:1]),
        (OrderedDict(text="a"), AB[:1]),
        ({"text": ["a", "b"]}, AB),
        ({"text": np.array(["a", "b"])}, AB),
        ([{"text": "a"}, {"text": "b"}], AB),
        (["a", {"text": "b"}], AB),
        (pd.Series(["a", "b"]), AB),
        (pd.Series(["a", "b"], index=[7, 3], name="whatever"), AB),
        (pd.DataFrame({"text": ["a", "b"]}, index=[9, 9]), AB),
        (pd.DataFrame({"review": ["a", "b"]}), AB),
        (pd.DataFrame({0: ["a", "b"]}), AB),
        (pd.DataFrame({"id": [1, 2], "text": ["a", "b"]}), AB),
        (pd.DataFrame({"text": ["a", "b"], "text_pair": [None, float("nan")]}), AB),
        (pd.DataFrame({"text": ["a", "b"], "text_pair": ["x", pd.NA]}), [PAIRS[0], AB[1]]),
        ([("a", "x"), ["b", "y"]], PAIRS),
        (np.array([["a", "x"], ["b", "y"]]), PAIRS),
        ({"text": ["a", "b"], "text_pair": ["x", "y"]}, PAIRS),
        (pd.DataFrame({"text_pair": ["x", "y"], "id": [1, 2], "text": ["a", "b"]}), PAIRS),
        ([{"text": "a", "text_pair": None}], AB[:1]),
        ([{"text": "a", "id": 5}], AB[:1]),
        ([], []),
        ((), []),
        (np.array([], dtype=str), []),
        (pd.Series([], dtype=str), []),
        (pd.DataFrame({"text": []}), []),
        ({"text": []}, []),
        ("", [{"text": ""}]),
        (["", " "], [{"text": ""}, {"text": " "}]),
        (["a", "a"], AB[:1] * 2),
    ],
)
def test_forms_of_input(data, expected):
    found = values(data)
    assert found == expected
    assert all(type(value) is str for row in found for value in row.values())


@pytest.mark.parametrize("text", ["5", "None", "'quoted'", "{'text': 'a'}", '["a", "b"]', "__import__('os')", "\x00"])
def test_text_is_left_as_it_is(text):
    assert values(text) == [{"text": text}]
    assert values([text]) == [{"text": text}]


def test_a_column_may_have_another_name_in_the_signature():
    declared = (Column("string", "review"),)
    assert values({"review": "a"}, declared=declared) == AB[:1]
    assert values("a", declared=declared) == AB[:1]
    assert values("a", declared=(Column("string"),)) == AB[:1]
    with pytest.raises(InputError, match="the column 'review' is missing; the columns given are 'text'"):
        values({"text": "a"}, declared=declared)


def test_a_signature_may_require_a_column_that_the_task_does_not():
    declared = (Column("string", "text"), Column("string", "text_pair"))
    assert values(PAIRS, declared=declared) == PAIRS
    with pytest.raises(InputError, match=r"row 1: .*'text_pair' is missing"):
        values([PAIRS[0], {"text": "b"}], declared=declared)
    with pytest.raises(InputError, match="row 0: a value alone is not enough"):
        values(["a"], declared=declared)


@pytest.mark.parametrize(
    ("data", "row", "words"),
    [
        (None, None, ["found None", "a list of texts", "text_pair (optional)"]),
        (3, None, ["found 3 (int)"]),
        (2.5, None, ["found 2.5 (float)"]),
        (True, None, ["found True (bool)"]),
        (b"bytes", None, ["found b'bytes' (bytes)"]),
        ({"a", "b"}, None, ["(set)"]),
        (iter(["a"]), None, ["iterator"]),
        (["a", None], 1, ["column 'text'", "missing (None)"]),
        (["a", 5], 1, ["expected text (str), found 5 (int)", 'If the text "5" is meant']),
        (["a", "b", 5.0], 2, ["found 5.0 (float)"]),
        ([True], 0, ["found True (bool)"]),
        (["a", b"b"], 1, ["Decode bytes"]),
        (["a", float("nan")], 1, ["missing (nan)"]),
        ([["a"]], 0, ["expected one value, found ['a'] (list)"]),
        ([["a", "b", "c"]], 0, ["expected one value"]),
        ([[["a", "b"]]], 0, ["expected one value"]),
        ([("a", 5)], 0, ["column 'text_pair'", "found 5 (int)"]),
        (["a", "\ud800"], 1, ["not valid Unicode", "character 0"]),
        (np.array([1, 2]), 0, ["found 1 (int)"]),
        (np.zeros((2, 2, 2)), None, ["shape (2, 2, 2)"]),
        (np.array([["a", "b", "c"]]), None, ["shape (1, 3)"]),
        (pd.Series(["a", None]), 1, ["missing"]),
        (pd.Series([1, 2]), 0, ["found 1 (int)"]),
        (pd.DataFrame({"text": ["a", None]}), 1, ["missing"]),
        (pd.DataFrame({"text": ["a", pd.NA]}), 1, ["missing"]),
        (pd.DataFrame({"id": [1], "review": ["a"]}), None, ["'text' is missing", "given are 'id', 'review'"]),
        (pd.DataFrame([["a", "b"]], columns=["text", "text"]), None, ["columns of the same name"]),
        (pd.DataFrame(), None, ["'text' is missing", "given are none"]),
        ({}, 0, ["'text' is missing", "given are none"]),
        ({"review": "a"}, 0, ["'text' is missing", "given are 'review'"]),
        ({"txt": "a"}, 0, ["'text' is missing", "did you mean 'txt' to be 'text'?"]),
        ({"text": None}, 0, ["missing (None)"]),
        ({"text": {"a": 1}}, 0, ["(dict)"]),
        ({"text": "a", "text_piar": "b"}, 0, ["no column is named 'text_piar'", "did you mean 'text_pair'?"]),
        ([{"text": "a"}, {"text_pair": "b"}], 1, ["'text' is missing"]),
        ({"text": ["a", "b"], "text_pair": ["x"]}, None, ["one length", "'text': 2", "'text_pair': 1"]),
        ([{"role": "user", "content": "hi"}], None, ["chat messages"]),
    ],
)
def test_what_is_no_input_is_refused(data, row, words):
    with pytest.raises(InputError) as caught:
        values(data)
    assert caught.value.row == row
    if row is not None:
        assert str(caught.value).startswith(f"row {row}: ")
    for word in words:
        assert word in str(caught.value)


def test_a_pair_is_no_input_of_a_task_over_single_texts():
    with pytest.raises(InputError, match="row 0: expected one value"):
        values([("a", "b")], task="text-generation")


def test_every_form_gets_the_same_answer(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"))
    truth = predictor.predict(["a fine film", "another"])
    for data in (
        pd.DataFrame({"id": [1, 2], "text": ["a fine film", "another"]}),
        pd.Series(["a fine film", "another"]),
        np.array(["a fine film", "another"]),
        [{"text": "a fine film"}, {"text": "another"}],
    ):
        pd.testing.assert_frame_equal(predictor.predict(data), truth)


def test_the_prompt_column_is_found_by_name(artifact):
    predictor = hfspec.load(artifact("gpt2"))
    frame = pd.DataFrame({"id": ["x", "y"], "prompt": ["hello", "the house"]})
    assert predictor.predict(frame) == predictor.predict(["hello", "the house"])
