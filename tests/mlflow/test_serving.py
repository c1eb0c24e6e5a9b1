"""MLflow's scoring server over artifacts: JSON in, JSON out."""

from __future__ import annotations

import json
import shlex
import socket
import subprocess
import sys
import time
from http.client import HTTPConnection

import mlflow
import pandas as pd
import pytest
from fastapi.testclient import TestClient
from mlflow.pyfunc import scoring_server

import hfspec
from hfspec.runtime.io.answers import to_json
from hfspec.tasks import table
from tests.mlflow.deployments import DEPLOYMENTS, HELLO, ST, TABLE

# Of the test client's own event loops, and of the libraries' own calls, as in the tests of these tasks.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::UserWarning")


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


def rows_of(deployment):
    """The rows of a deployment's example, each with its columns' names."""
    example, column = deployment.example, table.find(deployment.library, deployment.task).inputs[0].name
    if isinstance(example, str | dict) or deployment.task == "conversational":
        example = [example]
    return [row if isinstance(row, dict) else {column: row} for row in example]


def without_times(answer):
    return [
        {key: row[key] for key in row.keys() - {"id", "created"}} if isinstance(row, dict) else row for row in answer
    ]


def split(rows, **more):
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return {
        "dataframe_split": {"columns": columns, "data": [[row.get(name) for name in columns] for row in rows], **more}
    }


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.name)
def test_every_form_of_the_protocol_answers_for_every_task(deployment, served):
    post, predictor = served(deployment.task, deployment.library)
    rows = rows_of(deployment)
    params = {"params": deployment.chosen}
    expected = without_times(predictor.predict_json(rows, deployment.chosen))
    bodies = [split(rows), split(rows, index=[7 + number for number in range(len(rows))]), {"dataframe_records": rows}]
    for body in [*bodies, {"instances": rows}, {"inputs": rows}]:
        reply = post({**body, **params})
        assert reply.status_code == 200, reply.text
        assert without_times(reply.json()["predictions"]) == expected


PAIRS = [
    ("text-classification", "transformers", [{"text": "a", "text_pair": "b"}, {"text": "5"}, {"text": "NA"}]),
    ("question-answering", "transformers", [{"question": "who, then?", "context": 'the "fox"\njumps'}]),
    ("text-ranking", ST, [{"query": "1", "document": "2"}, {"query": "null", "document": "2.0"}]),
    (
        "sentence-similarity",
        ST,
        [{"source_sentence": "True", "sentence": "1e5"}, {"source_sentence": "x", "sentence": "x"}],
    ),
    ("zero-shot-classification", "transformers", [{"sequences": "at sea", "candidate_labels": "travel, cooking"}]),
    ("translation", "transformers", [{"text": "a", "tgt_lang": "spa_Latn"}, {"text": "b", "tgt_lang": None}]),
    ("llm/v1/completions", "transformers", [{"prompt": "12", "max_tokens": 2}, {"prompt": "a", "max_tokens": None}]),
    ("llm/v1/embeddings", ST, [{"input": "12"}, {"input": "None"}]),
    ("table-question-answering", "transformers", [{"query": "how old?", "table": json.dumps(TABLE)}]),
]


@pytest.mark.parametrize(("task", "library", "rows"), PAIRS)
def test_tables_of_several_columns_and_of_texts_that_look_like_numbers(task, library, rows, served):
    """Nothing is converted on the way: a text stays a text, an empty cell is a missing value."""
    post, predictor = served(task, library)
    expected = without_times(predictor.predict_json(rows))
    for body in (split(rows), {"dataframe_records": rows}, {"instances": rows}):
        assert without_times(post(body).json()["predictions"]) == expected
    reply = post(pd.DataFrame(rows, dtype=object).to_csv(index=False), "text/csv; charset=utf-8")
    assert without_times(reply.json()["predictions"]) == expected


def test_frames_of_one_column_and_of_no_rows(served):
    post, predictor = served("text-classification")
    expected = {"predictions": predictor.predict_json(["5", "a"])}
    assert post({"dataframe_split": {"data": [["5"], ["a"]]}}).json() == expected
    assert post({"dataframe_split": {"columns": ["review"], "data": [["5"], ["a"]]}}).json() == expected
    assert post({"instances": ["5", "a"]}).json() == expected
    assert post({"instances": {"text": ["5", "a"]}}).json() == expected
    assert post("review\n5\na\n", "text/csv").json() == expected
    for empty in ({"dataframe_split": {"data": []}}, split([]), {"dataframe_records": []}, {"instances": []}):
        assert post(empty).json() == {"predictions": []}


@pytest.mark.parametrize(("body", "message"), [(b"", "not a table as CSV"), (b"txet,id\na,1\n", "'txet' to be 'text'")])
def test_csv_that_is_refused(body, message, served):
    reply = served("text-classification")[0](body, "text/csv")
    assert (reply.status_code, message in reply.json()["message"]) == (400, True)
    assert served("text-classification")[0](b"text\n\xff\n", "text/csv").status_code == 400
    assert served("text-classification")[0](b"text\na\n", "text/csv; charset=latin-1").status_code == 415


def test_other_models_in_the_process_are_read_by_mlflow_as_before(served, tmp_path):
    served("text-classification")
    signature = mlflow.models.infer_signature(pd.DataFrame({"x": [1]}), pd.DataFrame({"y": [1]}))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT")
        mlflow.pyfunc.save_model(tmp_path / "other", python_model=Doubles(), signature=signature, pip_requirements=[])
    client = TestClient(scoring_server.init(mlflow.pyfunc.load_model(str(tmp_path / "other"))))
    body = {"dataframe_split": {"columns": ["x", "id"], "data": [[1, 2]]}}
    assert client.post("/invocations", json=body).json() == {"predictions": [{"x": 2}]}
    assert client.post("/invocations", json={"dataframe_records": [{"y": 1}]}).status_code == 400


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (scoring_server, "_parse_json_data"),
        (scoring_server, "invocations"),
        (mlflow.pyfunc, "_validate_prediction_input"),
    ],
)
def test_a_function_of_another_mlflow_is_left_as_it_is(module, name, of_task, monkeypatch, caplog):
    def other(data, *, request):
        return data

    monkeypatch.setattr(module, name, other)
    mlflow.pyfunc.load_model(str(of_task("text-classification")))
    assert getattr(module, name) is other
    assert f"{name} of the MLflow that is installed is not the function that hfspec knows" in caplog.text
    monkeypatch.undo()
    caplog.clear()
    mlflow.pyfunc.load_model(str(of_task("text-classification")))
    assert hasattr(getattr(module, name), "reads_as_sent")
    assert not caplog.text


class Doubles(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: pd.DataFrame, params=None):
        return model_input * 2


def test_mlflows_own_predict_and_its_check_of_serving_input(of_task, tmp_path):
    folder, rows = of_task("question-answering"), [{"question": "1", "context": "2 or 3"}]
    expected = hfspec.load(folder).predict_json(rows)
    for data in (pd.DataFrame(rows), rows):
        target = tmp_path / "answer.json"
        mlflow.models.predict(str(folder), input_data=data, env_manager="local", output_path=str(target))
        assert json.loads(target.read_text()) == {"predictions": expected}
        target.unlink()
    posted = mlflow.models.convert_input_example_to_serving_input(pd.DataFrame(rows))
    assert to_json(mlflow.models.utils._validate_serving_input(str(folder), posted)) == expected


def test_a_server_of_its_own(of_task, tmp_path):
    """The process that ``mlflow models serve`` starts, which knows of the artifact's folder alone."""
    folder = of_task("text-classification")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command, environment = scoring_server.get_cmd(str(folder), port=port, host="127.0.0.1", nworkers=1)
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *shlex.split(command)], env=environment, stdout=log, stderr=log
        )
        try:
            wait_for(port, server)
            expected = {"predictions": hfspec.load(folder).predict_json(["5", "a fine film"])}
            for body in (split([{"text": "5"}, {"text": "a fine film"}]), {"instances": ["5", "a fine film"]}):
                assert asked(port, json.dumps(body), "application/json") == expected
            assert asked(port, "id,text\n1,5\n2,a fine film\n", "text/csv") == expected
        finally:
            server.terminate()
            server.wait()


def wait_for(port, server):
    for _ in range(600):
        assert server.poll() is None
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError("the server does not listen")


def asked(port, body, kind):
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("POST", "/invocations", body, {"content-type": kind})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


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
    (
        "text-classification",
        {"dataframe_split": {"columns": ["text"], "data": [["a"]]}, "inputs": ["a"]},
        "exactly one",
    ),
    (
        "text-classification",
        {"dataframe_split": {"columns": ["txet", "id"], "data": [["a", 1]]}},
        "'txet' to be 'text'",
    ),
    (
        "text-classification",
        {"dataframe_split": {"columns": ["text"], "data": [[1]]}},
        "expected text (str), found 1 (int)",
    ),
    ("text-classification", {"dataframe_split": {"columns": ["text"], "data": [["a", "b"]]}}, "is not a table"),
    ("text-classification", {"dataframe_split": {"columns": ["text"]}}, "must be an object with the list data"),
    ("text-classification", {"dataframe_split": [["a"]]}, "must be an object with the list data"),
    ("text-classification", {"dataframe_records": {"text": ["a"]}}, "must be a list of objects"),
    ("text-classification", {"dataframe_records": ["a"]}, "must be a list of objects"),
    ("text-classification", {"dataframe_records": [{"text": "a"}, {"text": None}]}, "row 1: column 'text'"),
    ("text-classification", {"instances": ["a", 1]}, "row 1: column 'text': expected text"),
    ("text-classification", {"rows": ["a"]}, "exactly one"),
    ("text-classification", {"params": {}}, "exactly one"),
    ("question-answering", {"instances": ["a"]}, "columns question, context are needed"),
    ("question-answering", {"dataframe_records": [{"question": "a"}]}, "'context' is missing"),
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


SWITCHED = """
import sys
import mlflow.pyfunc
from mlflow.pyfunc import scoring_server
before = scoring_server._parse_json_data
mlflow.pyfunc.load_model(sys.argv[1], model_config={"patches": sys.argv[2]})
print(scoring_server._parse_json_data is before)
"""


@pytest.mark.parametrize(("patches", "unchanged"), [("none", "True"), ("all", "False")])
def test_mlflows_functions_are_left_alone_where_patches_are_off(artifact, patches, unchanged):
    command = [sys.executable, "-c", SWITCHED, str(artifact(DEPLOYMENTS[0])), patches]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == unchanged
