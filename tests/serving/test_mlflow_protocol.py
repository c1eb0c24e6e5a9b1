"""MLflow's scoring protocol of a running server, against MLflow's own server over the same artifacts."""

from __future__ import annotations

import json
import os
import warnings

import pytest
from fastapi.testclient import TestClient

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own type hints
    import mlflow.pyfunc
    from mlflow.deployments import PredictionsResponse
    from mlflow.pyfunc import scoring_server
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning")

SENTIMENT, EMBEDDER = "/invocations?model=sentiment", "/invocations?model=embedder"
TEXTS = ["good", "bad, they say"]
FORMS = [
    {"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}},
    {"dataframe_split": {"columns": ["review"], "data": [[text] for text in TEXTS], "index": [3, 4]}},
    {"dataframe_split": {"data": [[text] for text in TEXTS]}},
    {"dataframe_records": [{"text": text} for text in TEXTS]},
    {"instances": [{"text": text} for text in TEXTS]},
    {"instances": TEXTS},
    {"inputs": TEXTS},
    {"inputs": {"text": TEXTS}},
    {"inputs": TEXTS, "params": {}},
    {"inputs": TEXTS[0]},
]


@pytest.fixture(scope="module")
def mlflow_server(served):
    """``mlflow_server(name)``: a client of MLflow's own server over the same artifact."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(served.artifacts[name]))))
        return made[name]

    return get


def close(made, wanted):
    """The same but for the last digits of numbers."""
    if isinstance(wanted, dict):
        return set(made) == set(wanted) and all(close(made[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list):
        return len(made) == len(wanted) and all(map(close, made, wanted))
    return made == pytest.approx(wanted, abs=1e-5) if isinstance(wanted, float) else made == wanted


@pytest.mark.parametrize("name", ["sentiment", "embedder"])
@pytest.mark.parametrize("body", FORMS, ids=lambda body: json.dumps(body)[:40])
def test_every_form_is_answered_as_mlflows_server_answers_it(served, mlflow_server, name, body):
    wanted = mlflow_server(name).post("/invocations", json=body)
    made = served.post("/invocations", body, headers={"model": name})
    assert (made.status_code, wanted.status_code) == (200, 200), (made.text, wanted.text)
    assert close(made.json(), wanted.json())


def test_params_are_heeded_as_mlflows_server_heeds_them(served, mlflow_server):
    for form in (FORMS[0], FORMS[6]):
        body = {**form, "params": {"normalize_embeddings": True}}
        wanted = mlflow_server("embedder").post("/invocations", json=body)
        made = served.post(EMBEDDER, body)
        assert (made.status_code, wanted.status_code) == (200, 200), (made.text, wanted.text)
        assert close(made.json(), wanted.json())
    for wrong in ({"normalize_embeddings": "yes"}, {"normalise": True}):
        assert served.post(EMBEDDER, {**FORMS[0], "params": wrong}).status_code == 400


@pytest.mark.parametrize("table", ['text\ngood\n"bad, they say"\n', "text\n001\nNA\n", "review\ngood\n"])
def test_a_table_as_csv_is_answered_as_mlflows_server_answers_it(served, mlflow_server, table):
    kind = {"content-type": "text/csv; charset=utf-8"}
    wanted = mlflow_server("sentiment").post("/invocations", content=table, headers=kind)
    made = served.post(SENTIMENT, data=table.encode(), headers=kind)
    assert made.status_code == 200, made.text
    assert close(made.json(), wanted.json())


def test_mlflows_own_client_reads_the_answer(served, mlflow_server):
    client = ScoringServerClient("127.0.0.1", served.url.rpartition(":")[2])
    client.ping()
    assert client.get_version()
    body = json.dumps({"inputs": TEXTS})
    answered = served.post(SENTIMENT, data=body, headers={"content-type": "application/json"})
    wanted = mlflow_server("sentiment").post("/invocations", json={"inputs": TEXTS})
    read = [PredictionsResponse.from_json(one.text).get_predictions() for one in (answered, wanted)]
    assert read[0]["label"].tolist() == read[1]["label"].tolist()


def test_a_request_of_the_openai_api_is_answered_without_predictions(served, mlflow_server):
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
    wanted = mlflow_server("assistant").post("/invocations", json=body).json()
    made = served.post("/invocations?model=assistant", body).json()
    assert made["choices"] == wanted["choices"]
    assert made["usage"] == wanted["usage"]


@pytest.mark.parametrize(
    ("body", "part"),
    [
        ({}, "exactly one of"),
        ({"inputs": TEXTS, "instances": TEXTS}, "exactly one of"),
        ({"dataframe_split": [TEXTS]}, "dataframe_split"),
        ({"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}}, "is not a table"),
        ({"dataframe_split": {"columns": ["text"], "data": [["a"]], "index": [1, 2]}}, "index"),
        ({"dataframe_split": {"columns": ["text", "text"], "data": [["a", "b"]]}}, "different names"),
        ({"dataframe_records": {"text": "a"}}, "dataframe_records"),
        ({"dataframe_records": ["a"]}, "dataframe_records"),
        ({"inputs": [7]}, "row 0"),
        ({"inputs": TEXTS, "params": ["top_k"]}, "params"),
        ({"inputs": TEXTS, "params": {"top_kk": 1}}, "top_kk"),
        ({"dataframe_records": [{"texts": "a", "other": 1}]}, "text"),
    ],
)
def test_a_wrong_body_is_refused_in_mlflows_form(served, body, part):
    refused = served.post(SENTIMENT, body)
    assert refused.status_code == 400, refused.text
    assert set(refused.json()) == {"error_code", "message"}
    assert part in refused.json()["message"]


@pytest.mark.parametrize(
    ("kind", "sent", "status"),
    [
        ("text/plain", b"x", 415),
        ("application/vnd.apache.parquet", b"x", 415),
        ("text/csv; charset=latin-1", b"text\na\n", 415),
        ("text/csv; header=no", b"text\na\n", 415),
        ("text/csv", b"", 400),
        ("text/csv", b"\xff\xfe", 400),
        ("text/csv", b"text\na,b\n", 400),
        ("text/csv", b"text,text\na,b\n", 400),
        ("application/json", b"{", 400),
        ("application/json", b"[1]", 400),
    ],
)
def test_what_is_no_body_is_refused(served, kind, sent, status):
    refused = served.post(SENTIMENT, data=sent, headers={"content-type": kind})
    assert refused.status_code == status
    assert refused.json()["message"]


def test_one_of_several_models_must_be_named(served):
    refused = served.post("/invocations", {"inputs": TEXTS})
    assert refused.status_code == 400
    assert all(name in refused.json()["message"] for name in served.artifacts)
    assert served.post("/invocations?model=nobody", {"inputs": TEXTS}).status_code == 404


def test_the_server_says_that_it_lives(served):
    for path in ("/ping", "/health"):
        assert (served.get(path).status_code, served.get(path).text) == (200, "\n")
    assert served.get("/version").status_code == 200
