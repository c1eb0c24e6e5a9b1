"""predict_iter: a stream of rows in, a stream of answers out, in bounded memory."""

from __future__ import annotations

import gc
import io
import json
import sys

import numpy as np
import pandas as pd
import pytest
from safetensors.torch import load_file, save_file

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


@pytest.fixture
def command_of(tmp_path, capsysbinary):
    """``command_of(folder, lines, *options)``: exit code, answers and standard error of --jsonl over the lines."""
    from hfspec.runtime.command import main

    def call(folder, lines, *options):
        file = tmp_path / "rows.jsonl"
        file.write_bytes(lines if isinstance(lines, bytes) else lines.encode())
        code = main(folder, ["--jsonl", str(file), *options])
        out, said = capsysbinary.readouterr()
        return code, [json.loads(line) for line in out.splitlines()], said.decode().replace(str(file), "FILE")

    return call


@pytest.fixture
def command(artifact, command_of):
    return lambda *given: command_of(artifact("bert-sentiment"), *given)


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


@pytest.mark.usefixtures("only_new_objects")
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


@pytest.mark.parametrize("wrong", [7, None, {"texts": "a"}, ["a", "b", "c"], "word " * 600])
@pytest.mark.parametrize("window", [1, 3, FULL])
def test_a_wrong_row_may_cost_its_own_answer_only(sentiment, wrong, window):
    good = ["a fine film", "no", "not a fine film at all"]
    rows = [wrong, good[0], wrong, wrong, *good[1:], wrong]
    made = list(sentiment.predict_iter(iter(rows), window=window, errors="return"))
    refused = [answer for answer in made if isinstance(answer, InputError)]
    assert [error.row for error in refused] == [0, 2, 3, 6]
    answers = [answer for answer in made if not isinstance(answer, InputError)]
    assert [answer["label"] for answer in answers] == sentiment.predict(good)["label"].tolist()


def test_a_frame_is_read_row_by_row_where_rows_may_be_wrong(sentiment):
    frame = pd.DataFrame({"text": ["a fine film", None, "no"]}, index=[7, 7, 1])
    made = list(sentiment.predict_iter(frame, errors="return"))
    assert [isinstance(answer, InputError) for answer in made] == [False, True, False]
    assert made[0]["label"] == sentiment.predict(["a fine film"])["label"][0]
    with pytest.raises(InputError, match="row 1: "):
        list(sentiment.predict_iter(frame))


def test_errors_are_raised_or_returned(sentiment):
    with pytest.raises(UsageError, match="errors must be 'raise' or 'return'"):
        sentiment.predict_iter(["a"], errors="ignore")


JSON_LINES = {
    "an empty last line": ('"a"\n"b"\n\n', ["a", "b"]),
    "blank lines": ('\n"a"\n \t\n\n"b"\n', ["a", "b"]),
    "CRLF": ('"a"\r\n\r\n"b"\r\n', ["a", "b"]),
    "a byte-order mark": ('\ufeff"a"\n"b"\n', ["a", "b"]),
    "a byte-order mark alone on its line": ('\ufeff\r\n"a"\n', ["a"]),
    "no last line feed": ('"a"\n"b"', ["a", "b"]),
    "other line separators inside a text": ('"a\u2028b\u0085c"\n', ["a\u2028b\u0085c"]),
    "nothing": ("", []),
    "nothing but blank lines": ("\n\r\n \n", []),
}


@pytest.mark.parametrize(("text", "rows"), JSON_LINES.values(), ids=JSON_LINES)
def test_each_line_that_is_not_empty_is_a_row(sentiment, command, text, rows):
    code, lines, said = command(text)
    assert (code, said) == (0, "")
    assert [line["label"] for line in lines] == sentiment.predict(rows)["label"].tolist()


WRONG_LINES = {
    "broken JSON": ("{", "this is not JSON"),
    "two values": ('"a" "b"', "this is not JSON"),
    "not UTF-8": (b'"\xff"', "this is not JSON"),
    "nested too deep": ("[" * 100_000, "this is not JSON"),
    "a number with too many digits": ("9" * 5000, "this is not JSON"),
    "a number": ("7", "expected text (str), found 7 (int)"),
    "null": ("null", "the value is missing"),
    "no number": ("NaN", "the value is missing"),
    "an unknown column": ('{"texts": "a"}', "the column 'text' is missing"),
    "a list of texts": ('["a", "b", "c"]', "expected one value"),
    "half of a surrogate pair": ('"\\ud800"', "not valid Unicode"),
    "too long": (json.dumps("word " * 600), "tokens"),
}


@pytest.mark.parametrize("place", [1, 2, 4])
@pytest.mark.parametrize(("wrong", "message"), WRONG_LINES.values(), ids=WRONG_LINES)
def test_a_wrong_line_costs_its_own_answer_only(sentiment, command, wrong, message, place):
    good = ["a fine film", "no", "not a fine film at all"]
    lines = [json.dumps(text).encode() for text in good]
    lines.insert(place - 1, wrong if isinstance(wrong, bytes) else wrong.encode())
    code, made, said = command(b"\n".join(lines))
    assert code == 6
    error = made.pop(place - 1)["error"]
    assert error["kind"] == "InputError"
    assert error["line"] == place
    assert message in error["message"]
    assert [answer["label"] for answer in made] == sentiment.predict(good)["label"].tolist()
    assert said == f"error: --jsonl FILE: 1 of 4 lines got an error object instead of an answer: line {place}.\n"


def test_lines_are_counted_with_the_empty_ones_and_rows_are_not_named(command):
    code, made, said = command('\n"a"\n\n7\n{\n"' + "word " * 600 + '"\n')
    assert code == 6
    assert [line["error"]["line"] for line in made if "error" in line] == [4, 5, 6]
    assert "row" not in "".join(line["error"]["message"] for line in made if "error" in line)
    assert said.endswith("3 of 6 lines got an error object instead of an answer: lines 4, 5, 6.\n")


def test_many_wrong_lines_are_counted_and_the_first_named(command):
    code, made, said = command("7\n" * 300)
    assert (code, len(made)) == (6, 300)
    assert "300 of 300 lines got an error object" in said
    assert said.endswith("answer: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and others.\n")


@pytest.mark.parametrize("window", ["1", "3"])
def test_wrong_lines_at_the_edges_of_windows(sentiment, command, window):
    code, made, _ = command('7\n"a fine film"\n{\n"no"\n7\n7\n"no"\n', "--window", window)
    assert code == 6
    assert ["error" in line for line in made] == [True, False, True, False, True, True, False]
    labels = sentiment.predict(["a fine film", "no", "no"])["label"].tolist()
    assert [line["label"] for line in made if "label" in line] == labels


def test_a_text_that_the_model_makes_no_number_of_costs_its_own_answer_only(own_copy, build, command_of):
    from transformers import AutoTokenizer

    source = own_copy("bert-sentiment")
    (token, *_) = AutoTokenizer.from_pretrained(source)("film", add_special_tokens=False)["input_ids"]
    tensors = load_file(source / "model.safetensors")
    tensors[next(key for key in tensors if key.endswith("word_embeddings.weight"))][token] = float("inf")
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    folder = build(source, "text-classification")
    code, made, _ = command_of(folder, '"good"\n"a film"\n"bad"\n"film"\n')
    assert code == 6
    assert [(line["error"]["kind"], line["error"]["line"]) for line in made if "error" in line] == [
        ("OutputError", 2),
        ("OutputError", 4),
    ]
    assert "nan or infinity" in made[1]["error"]["message"]
    truth = hfspec.load(folder).predict(["good", "bad"])
    assert [made[0]["label"], made[2]["label"]] == truth["label"].tolist()
    assert [made[0]["score"], made[2]["score"]] == pytest.approx(truth["score"].tolist())


def test_a_query_that_is_wrong_leaves_the_conversation_about_a_table(build, checkpoint, command_of):
    tables = build(checkpoint("tapas-sqa"), "table-question-answering", model_config={"sequential": True})
    table = {"city": ["Bern", "Rome"], "people": ["130", "2800"]}
    rows = [{"query": "how many people", "table": table}, {"query": " ", "table": table}, 7]
    rows += [{"query": "and in Rome", "table": table}]
    whole = list(hfspec.load(tables).predict_iter([rows[0], rows[3]]))
    code, made, _ = command_of(tables, "\n".join(map(json.dumps, rows)))
    assert code == 6
    assert [isinstance(line, dict) for line in made] == [False, True, True, False]
    assert [made[0], made[3]] == to_json(whole)


def test_a_stream_that_breaks_off_answers_what_came(artifact, monkeypatch, capsysbinary):
    from hfspec.runtime.command import main

    class Broken(io.BytesIO):
        def __next__(self):
            line = super().readline()
            if not line:
                raise OSError(5, "Input/output error")
            return line

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Broken(b'"a"\n7\n')))
    assert main(artifact("bert-sentiment"), ["--jsonl", "-"]) == 3
    out, said = capsysbinary.readouterr()
    assert ["error" in json.loads(line) for line in out.splitlines()] == [False, True]
    assert b"the input broke off after line 2: Input/output error." in said


def test_a_last_line_that_is_cut_off_is_an_error_of_its_own(command):
    code, made, _ = command('"a"\n{"text": "b')
    assert code == 6
    assert ["error" in line for line in made] == [False, True]


def test_lines_come_from_standard_input(artifact, monkeypatch, capsysbinary):
    from hfspec.runtime.command import main

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'\xef\xbb\xbf"a"\r\n\r\n{\r\n"b"')))
    assert main(artifact("bert-sentiment"), ["--jsonl", "-"]) == 6
    out, said = capsysbinary.readouterr()
    assert [json.loads(line).get("error", {}).get("line") for line in out.splitlines()] == [None, 3, None]
    assert b"--jsonl -: 1 of 4 lines" in said


@pytest.mark.parametrize("outputs", ["standard", "full"])
def test_json_lines_in_json_lines_out(artifact, command_of, outputs):
    folder = artifact("roberta-mnli")
    rows = ["a house", {"text": "a", "text_pair": "dog"}, "数"]
    code, lines, said = command_of(
        folder, "".join(json.dumps(row) + "\n" for row in rows), "--window", "2", "--outputs", outputs
    )
    assert (code, said) == (0, "")
    assert lines == [to_json(answer) for answer in hfspec.load(folder).predict_iter(rows, window=2, outputs=outputs)]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ('"a"\n', ["--window", "0"], "window must be"),
        ('"a"\n', ["a text"], "not more than one"),
        ('"a"\n', ["--params", '{"top_k": 2}'], "'top_k' is not a param"),
        ('"a"\n'.encode("utf-16"), [], "this is UTF-16"),
    ],
)
def test_what_no_line_can_be_answered_with(command, text, options, message):
    code, lines, error = command(text, *options)
    assert (code, lines) == (2, [])
    assert message in error
    assert error.count("\n") == 1


def test_an_answer_against_the_signature_is_an_error_of_its_line(artifact, command_of):
    folder = artifact("st-dense", signature={"output_tensor": {"dtype": "float32", "shape": [-1, 31]}})
    code, lines, _ = command_of(folder, '"a"\n"b"\n')
    assert code == 6
    assert [(line["error"]["kind"], line["error"]["line"]) for line in lines] == [
        ("OutputError", 1),
        ("OutputError", 2),
    ]


def test_json_lines_from_nowhere(artifact, tmp_path, capsysbinary):
    from hfspec.runtime.command import main

    assert main(artifact("bert-sentiment"), ["--jsonl", str(tmp_path / "none.jsonl")]) == 2
    assert "No such file" in capsysbinary.readouterr().err.decode()
    assert main(artifact("bert-sentiment"), ["--window", "3", "a"]) == 2
