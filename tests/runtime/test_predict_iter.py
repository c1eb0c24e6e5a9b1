"""predict_iter: a stream of rows in, a stream of answers out, in bounded memory."""

from __future__ import annotations

import gc
import json

import numpy as np
import pandas as pd
import pytest

import hfspec
from hfspec.errors import InputError, OutputError, ParamsError, UsageError
from hfspec.inputs.row import Row
from hfspec.runtime.io.answers import to_json
from hfspec.runtime.scheduling.windows import FIRST, FULL
from tests.runtime.texts import MIXED, shuffled

ENDLESS = 10**6


class Rows:
    """Texts that come one by one; ``taken`` counts them."""

    def __init__(self, count=ENDLESS):
        self.count, self.taken = count, 0

    def __iter__(self):
        for number in range(self.count):
            self.taken += 1
            yield f"row {number} " * (1 + number % 7)


@pytest.fixture(scope="module")
def sentiment(artifact):
    return hfspec.load(artifact("bert-sentiment"))


def test_the_first_answer_takes_few_rows(sentiment):
    rows = Rows()
    answers = sentiment.predict_iter(rows)
    assert rows.taken == 0
    next(answers)
    assert rows.taken == FIRST < FULL
    answers.close()
    assert rows.taken == FIRST


@pytest.mark.parametrize("window", [1, 3, 50])
def test_no_more_than_a_window_is_taken_ahead(sentiment, window):
    rows = Rows(200)
    ahead = [rows.taken - given for given, _ in enumerate(sentiment.predict_iter(rows, window=window))]
    assert len(ahead) == 200
    assert max(ahead) == window


def test_the_window_ends_when_it_has_tokens_enough(artifact):
    rows = Rows()
    tight = hfspec.load(artifact("bert-sentiment"), model_config={"batch_tokens": 16})
    answers = tight.predict_iter(rows, window=10_000)
    ahead = [rows.taken - given for given, _ in zip(range(2000), answers, strict=False)]
    assert max(ahead) <= 256


def alive():
    return sum(isinstance(thing, Row) for thing in gc.get_objects())


def test_rows_that_are_answered_are_let_go(sentiment):
    before = alive()
    answers = sentiment.predict_iter(Rows(600), window=40)
    assert max(alive() - before for place, _ in enumerate(answers) if place % 60 == 45) <= 2 * 40


@pytest.mark.parametrize("outputs", ["standard", "full"])
def test_answers_are_those_of_predict(sentiment, outputs):
    texts = shuffled(MIXED)
    whole = to_json(sentiment.predict(texts, outputs=outputs))
    made = [to_json(answer) for answer in sentiment.predict_iter(iter(texts), outputs=outputs, window=5)]
    for answer, row in zip(made, whole, strict=True):
        assert answer.keys() == row.keys()
        assert answer.get("label", answer.get("labels")) == row.get("label", row.get("labels"))


def test_rows_come_in_every_form_that_a_list_may_hold(artifact):
    predictor = hfspec.load(artifact("roberta-mnli"))
    rows = [{"text": "a house", "text_pair": "a dog"}, ("a house", "a dog"), "a house"]
    made = list(predictor.predict_iter(row for row in rows))
    assert [answer["label"] for answer in made] == predictor.predict(rows)["label"].tolist()
    assert made[0] == made[1]


@pytest.mark.parametrize("form", [list, tuple, pd.Series, np.array, lambda rows: pd.DataFrame({"text": rows})])
def test_what_predict_takes_is_read_as_predict_reads_it(sentiment, form):
    texts = ["a fine film", "no", "a fine film"]
    answers = list(sentiment.predict_iter(form(texts)))
    assert [answer["label"] for answer in answers] == sentiment.predict(form(texts))["label"].tolist()


def test_params_and_several_labels(artifact):
    folder = artifact("bert-sentiment", signature={"params": {"top_k": 1}})
    predictor = hfspec.load(folder)
    (answer,) = predictor.predict_iter(["a fine film"], {"top_k": 2})
    assert [line["label"] for line in answer] == predictor.predict("a fine film", {"top_k": 2})["label"].tolist()
    with pytest.raises(ParamsError, match="not a param"):
        predictor.predict_iter(["a"], {"top_n": 2})


def test_no_rows_no_answers(sentiment):
    assert list(sentiment.predict_iter([])) == []


@pytest.mark.parametrize("data", ["a text", b"bytes", {"text": ["a"]}, 5, None])
def test_what_holds_no_rows_is_refused_at_once(sentiment, data):
    with pytest.raises(InputError, match="expected rows to go through"):
        sentiment.predict_iter(data)


@pytest.mark.parametrize("window", [0, -1, 2.5, True, "many"])
def test_a_window_is_a_number_of_rows(sentiment, window):
    with pytest.raises(UsageError, match="window must be"):
        sentiment.predict_iter(["a"], window=window)
    with pytest.raises(UsageError, match="outputs must be"):
        sentiment.predict_iter(["a"], outputs="all")


@pytest.mark.parametrize("wrong", [7, None, {"texts": "a"}, ["a", "b", "c"], "word " * 600])
def test_a_wrong_row_is_named_and_the_answers_before_its_window_are_given(sentiment, wrong):
    rows = [*Rows(FIRST * 9), wrong]
    answers = sentiment.predict_iter(iter(rows))
    given = []
    with pytest.raises(InputError, match=f"row {FIRST * 9}: ") as caught:
        given.extend(answers)
    assert caught.value.row == FIRST * 9
    assert len(given) == FIRST * 5


def test_an_error_of_the_callers_rows_comes_through(sentiment):
    def rows():
        yield "a"
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(sentiment.predict_iter(rows()))


def test_an_answer_against_the_signature_is_refused(artifact, copy_of):
    folder = artifact("st-dense", signature={"output_tensor": {"dtype": "float32", "shape": [-1, 31]}})
    with pytest.raises(OutputError, match=r"\[-1, 31\]"):
        next(hfspec.load(folder).predict_iter(["a"]))


def test_streams_run_beside_each_other(sentiment):
    texts = shuffled(MIXED)
    one, other = sentiment.predict_iter(texts, window=3), sentiment.predict_iter(texts, window=4)
    pairs = list(zip(one, other, strict=True))
    assert all(mine["label"] == theirs["label"] for mine, theirs in pairs)


def test_json_lines_in_json_lines_out(artifact, tmp_path, capsysbinary):
    from hfspec.runtime.command import main

    folder, file = artifact("roberta-mnli"), tmp_path / "rows.jsonl"
    rows = ["a house", {"text": "a", "text_pair": "dog"}, "数"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert main(folder, ["--jsonl", str(file), "--window", "2"]) == 0
    lines = capsysbinary.readouterr().out.decode().splitlines()
    truth = [to_json(answer) for answer in hfspec.load(folder).predict_iter(rows, window=2)]
    assert [json.loads(line) for line in lines] == truth


@pytest.mark.parametrize(
    ("lines", "options", "message"),
    [
        ('"a"\n{\n', [], "line 2: this is not JSON"),
        ('"a"\n\n"b"\n', [], "line 2: this is not JSON"),
        ('"a"\n7\n', [], "row 1: "),
        ('"a"\n', ["--window", "0"], "window must be"),
        ('"a"\n', ["a text"], "not more than one"),
    ],
)
def test_wrong_json_lines(artifact, tmp_path, capsysbinary, lines, options, message):
    from hfspec.runtime.command import main

    file = tmp_path / "rows.jsonl"
    file.write_text(lines, encoding="utf-8")
    assert main(artifact("bert-sentiment"), ["--jsonl", str(file), *options]) == 2
    error = capsysbinary.readouterr().err.decode()
    assert message in error
    assert error.count("\n") == 1


def test_json_lines_from_nowhere(artifact, tmp_path, capsysbinary):
    from hfspec.runtime.command import main

    assert main(artifact("bert-sentiment"), ["--jsonl", str(tmp_path / "none.jsonl")]) == 2
    assert "No such file" in capsysbinary.readouterr().err.decode()
    assert main(artifact("bert-sentiment"), ["--window", "3", "a"]) == 2
