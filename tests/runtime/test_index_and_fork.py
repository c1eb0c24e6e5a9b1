"""An answer keeps its asker's index, and a predictor its process."""

from __future__ import annotations

import multiprocessing
import os
import signal

import numpy as np
import pandas as pd
import pytest

import hfspec
from hfspec.errors import UsageError

TEXTS = ["a fine film", "a bad film", "no film at all", "the house was sold"]
INDICES = [[7, 3, 11, 2], ["d", "a", "c", "b"], [5, 5, 1, 1]]


def asked(index, form):
    frame = pd.DataFrame({"text": TEXTS}, index=index)
    return frame if form == "frame" else frame["text"]


@pytest.mark.parametrize("form", ["frame", "series"])
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_a_score_stays_beside_its_row(artifact, index, form):
    predictor = hfspec.load(artifact("bert-sentiment"))
    data = asked(index, form)
    answer = predictor.predict(data)
    pd.testing.assert_index_equal(answer.index, data.index)
    assert answer["score"].tolist() == predictor.predict(TEXTS)["score"].tolist()
    assert predictor.predict(data.iloc[:0]).index.tolist() == []


@pytest.mark.parametrize("form", ["frame", "series"])
def test_a_filtered_frame_gets_its_own_scores(artifact, form):
    predictor = hfspec.load(artifact("bert-sentiment"))
    data = asked(range(4), form)[[False, True, False, True]]
    alone = predictor.predict([TEXTS[1], TEXTS[3]])["score"].tolist()
    assert predictor.predict(data)["score"].to_dict() == dict(zip([1, 3], alone, strict=True))


@pytest.mark.parametrize("top_k", [2, None])
def test_the_index_is_repeated_for_several_lines(artifact, top_k):
    predictor = hfspec.load(artifact("roberta-mnli", model_config={"top_k": top_k}))
    answer = predictor.predict(asked([7, 3, 11, 2], "series"))
    assert answer.index.tolist() == [[7, 3, 11, 2][row] for row in answer["row"]]
    assert len(answer) == 4 * (top_k or 3)


def test_the_index_is_repeated_where_rows_have_lines_of_their_own_number(build, checkpoint):
    frame = pd.DataFrame({"sequences": TEXTS[:2], "candidate_labels": [["x", "y"], ["x", "y", "z"]]}, index=[5, 2])
    predictor = hfspec.load(build(checkpoint("roberta-mnli"), "zero-shot-classification"))
    assert predictor.predict(frame).index.tolist() == [5, 5, 2, 2, 2]


@pytest.mark.filterwarnings("ignore::UserWarning")  # of MLflow, about its own type hints
def test_the_index_goes_through_mlflow(artifact):
    import mlflow

    data = asked([7, 3, 11, 2], "frame")
    answer = mlflow.pyfunc.load_model(str(artifact("bert-sentiment"))).predict(data)
    pd.testing.assert_index_equal(answer.index, data.index)


@pytest.mark.parametrize("data", [TEXTS, np.array(TEXTS), {"text": TEXTS}], ids=["list", "array", "dict"])
def test_what_has_no_index_is_counted(artifact, data):
    assert hfspec.load(artifact("bert-sentiment")).predict(data).index.tolist() == [0, 1, 2, 3]


def test_embeddings_stay_an_array(artifact):
    assert isinstance(hfspec.load(artifact("minilm-like")).predict(asked([4, 3, 2, 1], "series")), np.ndarray)


def in_a_child(work):
    """What ``work`` raises in a forked child, as text; empty where it raises nothing."""
    ours, theirs = multiprocessing.Pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # what hangs is ended
        try:
            work()
            theirs.send("")
        except UsageError as error:
            theirs.send(str(error))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return ours.recv() if ours.poll(5) else "it was stuck"


@pytest.mark.parametrize("method", ["predict", "predict_iter", "predict_json"])
def test_a_forked_child_is_told_to_spawn(artifact, method):
    predictor = hfspec.load(artifact("bert-sentiment"))
    getattr(predictor, method)(TEXTS)
    assert "spawn" in in_a_child(lambda: getattr(predictor, method)(TEXTS))


def test_a_forked_child_is_told_so_of_all_that_computes(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"))
    fresh, begun = predictor.predict_iter(TEXTS), predictor.predict_iter(TEXTS)
    first = next(begun)
    for work in (lambda: next(fresh), lambda: next(begun), predictor.components, predictor.pipeline):
        assert "spawn" in in_a_child(work)
    assert [first, *begun] == list(fresh)
    assert len(predictor.components()) > 1


@pytest.mark.parametrize("task", ["llm/v1/chat", "llm/v1/completions"])
def test_a_forked_child_is_told_so_of_a_stream_that_was_begun_before(build, checkpoint, task):
    asked = (
        {"prompt": "hello"} if task.endswith("completions") else {"messages": [{"role": "user", "content": "hello"}]}
    )
    request = {**asked, "max_tokens": 8, "temperature": 0, "stream": True}
    predictor = hfspec.load(build(checkpoint("llama-chat"), task))
    whole = [chunk["choices"] for chunk in predictor.predict(request)]
    fresh, begun = predictor.predict(request), predictor.predict(request)
    read = [next(begun), next(begun)]
    for work in (lambda: next(fresh), lambda: list(begun), lambda: predictor.predict(request)):
        assert "spawn" in in_a_child(work)
    assert [chunk["choices"] for chunk in [*read, *begun]] == whole
    assert [chunk["choices"] for chunk in fresh] == whole
