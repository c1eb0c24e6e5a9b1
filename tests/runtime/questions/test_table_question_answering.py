"""Answers equal those of the library's own pipeline, one row at a time, and those that 4.57 gave."""

from __future__ import annotations

import json
import math
import random
import sys
from pathlib import Path

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError
from tests import interpreters

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "table_question_answering.json").read_text(encoding="utf-8")
)
KINDS = ["tapas-wtq", "tapas-sqa"]
ACTORS, CITIES = GOLDEN["tables"]["actors"], GOLDEN["tables"]["cities"]
FILMS = {"film": ["a great film", "a bad film"], "stars": ["5", "1"]}
QUERIES = GOLDEN["queries"]


@pytest.fixture
def asker(build, checkpoint):
    """``asker(name, **model_config)``: the predictor, with the settings given to load."""
    return lambda name="tapas-wtq", **config: hfspec.load(
        build(checkpoint(name), "table-question-answering"), model_config=config, verify=False
    )


@pytest.fixture(scope="module")
def pipeline_of(checkpoint):
    from transformers import pipeline

    return lambda name: pipeline("table-question-answering", str(checkpoint(name)), device="cpu")


def assert_answer(mine, truth):
    """``mine``: a row of the full output; ``truth``: the pipeline's dict."""
    assert mine["answer"] == truth["answer"]
    assert [tuple(place) for place in mine["coordinates"]] == [tuple(place) for place in truth["coordinates"]]
    assert mine["cells"] == truth["cells"]
    assert mine["aggregator"] == truth.get("aggregator")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("sequential", [False, True])
def test_answers_as_the_pipeline_of_4_57_gave_them(asker, name, sequential):
    cases = [case for case in GOLDEN["cases"] if (case["checkpoint"], case["sequential"]) == (name, sequential)]
    rows = [{"query": query, "table": GOLDEN["tables"][case["table"]]} for case in cases for query in QUERIES]
    truth = [answer for case in cases for answer in case["answers"]]
    assert len({answer["answer"] for answer in truth}) > 5
    for batch_tokens in (1, 150, 100_000):
        answers = asker(name, sequential=sequential, batch_tokens=batch_tokens).predict(rows, outputs="full")
        for mine, theirs in zip(answers, truth, strict=True):
            assert_answer(mine, theirs)


@pytest.mark.parametrize("name", KINDS)
def test_answers_as_the_pipeline_of_today_gives_them(asker, pipeline_of, name):
    pipe = pipeline_of(name)
    rows = [{"query": query, "table": table} for query in QUERIES for table in (ACTORS, FILMS)]
    random.Random(3).shuffle(rows)
    answers = asker(name, batch_tokens=300).predict(rows, outputs="full")
    for row, answer in zip(rows, answers, strict=True):
        assert_answer(answer, pipe(**row))


def test_scores_are_the_cells_mean_probability(asker, checkpoint):
    import pandas as pd
    import torch
    from transformers import AutoTokenizer, TapasForQuestionAnswering

    words = AutoTokenizer.from_pretrained(checkpoint("tapas-wtq"))
    model = TapasForQuestionAnswering.from_pretrained(checkpoint("tapas-wtq")).eval()
    encoded = words(pd.DataFrame(ACTORS), QUERIES[0], return_tensors="pt")
    with torch.no_grad():
        scores = model(**encoded).logits[0].sigmoid()
    types = encoded["token_type_ids"][0]
    rows = [{"query": query, "table": ACTORS} for query in (QUERIES[0], QUERIES[4], "x " * 20)]
    answer = asker().predict(rows, outputs="full")[0]
    assert answer["coordinates"]
    for (row, column), score in zip(answer["coordinates"], answer["scores"], strict=True):
        mine = (types[:, 2] == row + 1) & (types[:, 1] == column + 1)
        assert score == pytest.approx(float(scores[mine].mean()), abs=1e-5)
        assert score > 0.5
    assert answer["tokens"] == encoded["input_ids"].shape[1]
    assert answer["truncated"] is False


def test_each_row_has_its_own_table_and_equal_queries_keep_their_answers(asker):
    predictor = asker()
    rows = [
        {"query": query, "table": table}
        for query in ("how many movies", "how many movies")
        for table in (ACTORS, FILMS)
    ]
    answers = predictor.predict(rows)
    assert answers == [predictor.predict(row)[0] for row in rows]
    assert answers[:2] == answers[2:]
    assert answers[0] != answers[1]


def test_several_queries_over_one_table(asker):
    truth = asker().predict([{"query": query, "table": CITIES} for query in QUERIES])
    assert asker().predict({"query": QUERIES, "table": CITIES}) == truth
    assert len(set(truth)) > 2


def test_a_conversation_ends_where_the_table_changes(asker):
    predictor = asker("tapas-sqa", sequential=True)
    turns = [{"query": query, "table": ACTORS} for query in QUERIES[:2]]
    other = {"query": QUERIES[1], "table": FILMS}
    answers = predictor.predict(turns)
    assert answers != asker("tapas-sqa").predict(turns)
    assert predictor.predict([other, *turns, other])[1:3] == answers
    assert predictor.predict([turns[0], other, turns[1]])[2] == predictor.predict(turns[1])[0] != answers[1]


def test_every_form_of_a_table_means_the_same(asker):
    import numpy as np
    import pandas as pd

    predictor = asker()
    (truth,) = predictor.predict({"query": QUERIES[0], "table": ACTORS}, outputs="full")
    frame = pd.DataFrame(ACTORS)
    forms = [
        frame,
        frame.set_index(pd.Index([7, 7, 2])),
        frame.to_dict(orient="records"),
        frame.to_dict(),
        frame.to_json(),
        frame.to_json(orient="records"),
        json.dumps(ACTORS),
        {name: tuple(cells) for name, cells in ACTORS.items()},
        {name: np.array(cells) for name, cells in ACTORS.items()},
    ]
    for form in forms:
        assert predictor.predict([{"query": QUERIES[0], "table": form}], outputs="full") == [truth]
        rows = pd.DataFrame({"id": ["x"], "table": [form], "query": QUERIES[:1]})
        assert predictor.predict(rows, outputs="full") == [truth]
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (5, "5"),
        (5.5, "5.5"),
        (True, "True"),
        (None, ""),
        (math.nan, ""),
        ("None", "None"),
        ("null", "null"),
        ("'quoted'", "'quoted'"),
        ("[1, 2]", "[1, 2]"),
        ("__import__('os')", "__import__('os')"),
    ],
)
def test_cells_are_text_and_never_evaluated(asker, pipeline_of, cell, text):
    mixed = {"age": [cell, "45"], "city": ["london", "paris"]}
    table = {"age": [text, "45"], "city": ["london", "paris"]}
    predictor = asker("tapas-sqa")
    answers = predictor.predict([{"query": query, "table": mixed} for query in QUERIES], outputs="full")
    for query, answer in zip(QUERIES, answers, strict=True):
        assert_answer(answer, pipeline_of("tapas-sqa")(query=query, table=table))
    if not isinstance(cell, float):
        written = [{"query": query, "table": json.dumps(mixed)} for query in QUERIES]
        assert predictor.predict(written, outputs="full") == answers


def test_numbers_in_json_stay_as_they_are_written(asker):
    row = {"query": QUERIES[0], "table": '{"a": [1.50, -0, 1e3, NaN, 123456789012345678901234567890]}'}
    cells = ["1.50", "-0", "1e3", "", "123456789012345678901234567890"]
    assert asker().predict(row, outputs="full") == asker().predict({**row, "table": {"a": cells}}, outputs="full")


def test_records_may_lack_cells_and_numbers_may_name_columns(asker):
    records = [{"city": "paris", 1: "a"}, {"city": "london", "age": None}]
    columns = {"city": ["paris", "london"], "1": ["a", ""], "age": ["", ""]}
    rows = [{"query": query, "table": table} for query in QUERIES for table in (records, columns)]
    answers = asker().predict(rows, outputs="full")
    assert answers[::2] == answers[1::2]


def test_a_table_too_long_is_refused_by_its_row_or_cut_as_the_pipeline_does(asker, pipeline_of):
    long = {"city": ["paris in the sun"] * 30, "age": ["5"] * 30}
    rows = [{"query": QUERIES[0], "table": ACTORS}, {"query": QUERIES[0], "table": long}]
    with pytest.raises(InputError, match=r"row 1: .*162 tokens and 30 rows.*at most 128 tokens.*truncation: true"):
        asker().predict(rows)
    answers = asker(truncation=True).predict(rows, outputs="full")
    assert [answer["truncated"] for answer in answers] == [False, True]
    for row, answer in zip(rows, answers, strict=True):
        assert_answer(answer, pipeline_of("tapas-wtq")(**row))
        assert answer["tokens"] <= 128


def test_more_rows_than_the_model_counts_are_refused_or_cut(asker):
    rows = [str(number) for number in range(60)]
    with pytest.raises(InputError, match="at most 128 tokens and 39 rows"):
        asker().predict({"query": "how many", "table": {"a": rows}})
    whole, cut = (
        asker(truncation=True).predict({"query": "how many", "table": {"a": cells}}, outputs="full")[0]
        for cells in (rows[:39], rows)
    )
    assert {**cut, "truncated": False} == whole
    with pytest.raises(InputError, match=r"41 columns.*at most 39"):
        asker().predict({"query": "how many", "table": [{str(number): "a" for number in range(41)}]})


def test_a_query_that_leaves_no_room_is_refused_even_with_truncation(asker):
    with pytest.raises(InputError, match="row 0: the query and the table's column names alone"):
        asker(truncation=True).predict({"query": "a " * 130, "table": ACTORS})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"query": "", "table": ACTORS}, "row 0.*'query'.*empty"),
        ({"query": "how many", "table": {}}, "row 0.*table is empty"),
        ({"query": "how many", "table": []}, "table is empty"),
        ({"query": "how many", "table": {"a": []}}, "table is empty"),
        ({"query": "how many", "table": "{'a': ['b']}"}, "row 0.*not a table in JSON"),
        ({"query": "how many", "table": '{"a": ["b"], "a": ["c"]}'}, "'a' is there twice"),
        ({"query": "how many", "table": "5"}, "expected a dict of columns"),
        ({"query": "how many", "table": 5}, "expected a dict of columns"),
        ({"query": "how many", "table": {"a": "b"}}, "expected a list of cells"),
        ({"query": "how many", "table": {"a": ["b"], "c": ["d", "e"]}}, "same rows.*'a': 1, 'c': 2"),
        ({"query": "how many", "table": {"a": {0: "b"}, "c": {1: "d"}}}, "same rows"),
        ({"query": "how many", "table": {"a": [["b"]]}}, "a cell is text.*row 0, column 'a'"),
        ({"query": "how many", "table": {"a": [b"b"]}}, "a cell is text"),
        ({"query": "how many", "table": ["a"]}, "expected a record"),
        ([{"query": "how many", "table": ACTORS}, {"query": 5, "table": ACTORS}], "row 1.*expected text"),
        ([{"query": "how many", "table": ACTORS}, {"query": "how many", "table": None}], "row 1.*missing"),
        ({"query": "how many"}, "'table' is missing"),
        ({"question": "how many", "table": ACTORS}, "'query' is missing"),
        ("how many", "query, table"),
        (None, "query, table"),
    ],
)
def test_bad_input_is_refused(asker, data, words):
    with pytest.raises(InputError, match=words):
        asker().predict(data)


@pytest.mark.parametrize("settings", [{"sequential": 1}, {"truncation": "drop_rows_to_fit"}, {"padding": True}])
def test_settings_that_cannot_work_are_refused(asker, settings):
    with pytest.raises(ParamsError, match=next(iter(settings))):
        asker(**settings)


def test_the_artifact_answers_json_with_json(build, checkpoint, asker, tmp_path):
    rows = [{"query": query, "table": {**ACTORS, "age": [56, None, 5.5]}} for query in QUERIES]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    folder = build(checkpoint("tapas-wtq"), "table-question-answering", outputs="full")
    done = interpreters.run(
        [sys.executable, folder / "predictor.py", "--json", tmp_path / "rows.json"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for mine, truth in zip(json.loads(done.stdout), asker().predict(rows, outputs="full"), strict=True):
        assert_answer(mine, truth)


@pytest.mark.parametrize("name", ["bert-squad", "gpt2"])
def test_a_checkpoint_of_another_architecture_is_refused(checkpoint, build, name):
    with pytest.raises(SpecError, match="cannot do table-question-answering"):
        build(checkpoint(name), "table-question-answering")
