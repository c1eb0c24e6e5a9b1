"""MLflow's scoring server over artifacts: JSON in, JSON out."""

from __future__ import annotations

import mlflow
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server

import hfspec
from hfspec.runtime.io.answers import to_json
from tests.mlflow.deployments import HELLO, ST, TABLE

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # of the test client's own event loops


@pytest.fixture
def served(of_task, monkeypatch):
    """``served(task)``: a function that posts a body, or a text of a content type; and the predictor."""
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")  # the server sets it; the fixture puts it back

    def get(task, library="transformers"):
        folder = of_task(task, library)
        client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(folder))))

        def post(body, kind="application/json"):
            if kind == "application/json":
                return client.post("/invocations", json=body)
            return client.post("/invocations", content=body, headers={"content-type": kind})

        return post, hfspec.load(folder)

    return get


CLASSIFIED = [
    "a fine film",
    ["a fine film", "a dull one"],
    {"text": "a", "text_pair": "b"},
    [{"text": "a", "text_pair": "b"}, {"text": "c"}],
    {"text": ["a", "b"]},
    [],
]


def test_text_classification(served):
    post, predictor = served("text-classification")
    for data in CLASSIFIED:
        reply = post({"inputs": data})
        assert (reply.status_code, reply.json()) == (200, {"predictions": predictor.predict_json(data)})
    reply = post({"inputs": "a", "params": {"function_to_apply": "sigmoid"}})
    assert reply.json() == {"predictions": predictor.predict_json("a", {"function_to_apply": "sigmoid"})}


def test_tables(served):
    post, predictor = served("text-classification")
    frame = pd.DataFrame({"id": [1, 2], "text": ["a, b", "c"], "text_pair": ["d", "e"]})
    expected = {"predictions": predictor.predict_json(frame)}
    assert post(frame.to_csv(index=False), "text/csv").json() == expected
    assert post(frame.to_parquet(), "application/vnd.apache.parquet").json() == expected
    post, predictor = served("table-question-answering")
    rows = [{"query": "how old?", "table": TABLE}]
    assert post({"inputs": rows}).json() == {"predictions": predictor.predict_json(rows)}


def test_embeddings(served):
    post, predictor = served("feature-extraction", ST)
    found = post({"inputs": ["a", "b"], "params": {"normalize_embeddings": True}}).json()
    assert found == {"predictions": predictor.predict_json(["a", "b"], {"normalize_embeddings": True})}
    post, predictor = served("llm/v1/embeddings", ST)
    for body in ({"input": ["a", "b"]}, {"input": "a", "dimensions": 4, "encoding_format": "base64"}):
        assert post(body).json() == to_json(predictor.predict(body))


def test_chat_takes_a_request_of_the_openai_api_and_answers_with_its_object(served):
    post, predictor = served("llm/v1/chat")
    body = {"messages": HELLO, "max_tokens": 3, "seed": 1}
    reply, expected = post(body).json(), predictor.predict(body)
    assert reply["object"] == "chat.completion"
    assert (reply["choices"], reply["usage"]) == (expected["choices"], expected["usage"])
    inside = post({"inputs": body}).json()["predictions"]
    assert inside["choices"] == expected["choices"]


REFUSED = [
    ("text-classification", {"inputs": ["a", 1]}, "row 1: column 'text': expected text"),
    ("text-classification", {"inputs": {"txet": "a"}}, "did you mean 'txet' to be 'text'"),
    ("text-classification", {"dataframe_split": {"columns": ["text"], "data": [["a"]]}}, "with 'inputs' key"),
    ("text-classification", {"instances": ["a"]}, "with 'inputs' key"),
    ("text-generation", {"inputs": "a", "params": {"max_new_tokens": 21}}, "at most 20"),
    ("llm/v1/chat", {"messages": HELLO, "stream": True}, "predict does not stream"),
    ("llm/v1/chat", {"messages": HELLO, "logit_bias": {"5": 1}}, "logit_bias is not supported"),
]


@pytest.mark.parametrize(("task", "body", "message"), REFUSED)
def test_refused_with_the_reason(task, body, message, served):
    reply = served(task)[0](body)
    assert reply.status_code == 400
    assert message in reply.json()["message"]
    assert "stack_trace" not in reply.json()
