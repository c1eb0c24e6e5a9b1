"""What /openapi.json says is true of the answers, and /docs shows it."""

from __future__ import annotations

import os
import re
import subprocess

import jsonschema
import pytest
import requests

from tests.serving.servers import entries, serving

PARAMS = {
    "top_k": {"type": "long", "default": 1, "minimum": 1, "maximum": 3},
    "function_to_apply": {"type": "string", "default": "softmax", "choices": ["softmax", "sigmoid"]},
}


@pytest.fixture(scope="module")
def document(served):
    return served.get("/openapi.json").json()


def body_schema(document, path, kind="application/json"):
    return document["paths"][path]["post"]["requestBody"]["content"][kind]["schema"]


def answer_schema(document, path):
    return document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]


def check(value, schema, document):
    jsonschema.Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def resolved(schema, document):
    if "$ref" not in schema:
        return schema
    found = document
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def test_every_endpoint_is_listed_under_a_name_of_its_own(document):
    assert document["openapi"] == "3.1.0"
    named = [op["operationId"] for path in document["paths"].values() for op in path.values()]
    assert len(set(named)) == len(named)
    assert {"/v1/embeddings", "/live", "/models/sentiment/predict", "/v2/models/vit/infer"} <= set(document["paths"])
    assert not any("{" in path and path.startswith("/models") for path in document["paths"])


def test_rows_have_the_columns_of_the_signature(document):
    row = resolved({"$ref": "#/components/schemas/sentiment.row"}, document)
    assert row["required"] == ["text"]
    assert row["properties"] == {"text": {"type": "string"}, "text_pair": {"type": "string"}}
    image = resolved({"$ref": "#/components/schemas/vit.row"}, document)["properties"]["image"]
    assert image["contentEncoding"] == "base64"


@pytest.mark.parametrize(
    ("name", "inputs", "outputs"),
    [
        ("sentiment", "good", None),
        ("sentiment", ["good", {"text": "bad", "text_pair": "day"}], None),
        ("sentiment", [], None),
        ("sentiment", ["good"], "full"),
        ("embedder", "good", None),
        ("embedder", ["good", "bad"], None),
        ("embedder", [], None),
        ("embedder", ["good"], "full"),
        ("reranker", {"query": "a", "documents": ["b", "c"]}, None),
        ("reranker", [{"query": "a", "document": "b"}], None),
        ("splade", ["good"], None),
        ("writer", "good", None),
        ("writer", ["good", "bad"], None),
        ("assistant", {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}, None),
    ],
)
def test_requests_and_answers_are_of_their_schemas(served, document, name, inputs, outputs):
    path = f"/models/{name}/predict"
    body = {"inputs": inputs, **({"outputs": outputs} if outputs else {})}
    check(body, body_schema(document, path), document)
    answer = served.post(path, body)
    assert answer.status_code == 200, answer.text
    check(answer.json(), answer_schema(document, path), document)


@pytest.mark.parametrize("many", [False, True])
def test_a_stream_is_refused_where_it_cannot_be_given(served, many):
    row = {"messages": [{"role": "user", "content": "hello"}], "stream": True, "max_tokens": 2}
    answer = served.post("/models/assistant/predict", {"inputs": [row] * 2 if many else row})
    assert answer.status_code == 400
    assert "stream" in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{}, {"inputs": 1}, {"inputs": ["a"], "more": 1}, {"inputs": {"text": None}}])
def test_what_the_schema_refuses_the_server_refuses_in_the_form_of_errors(served, document, body):
    path = "/models/sentiment/predict"
    with pytest.raises(jsonschema.ValidationError):
        check(body, body_schema(document, path), document)
    answer = served.post(path, body)
    assert answer.status_code == 400
    error = document["paths"][path]["post"]["responses"]["default"]["content"]["application/json"]["schema"]
    check(answer.json(), error, document)


def test_tensors_are_of_their_schemas(served, document):
    path = "/v2/models/sentiment/infer"
    body = {"inputs": [{"name": "text", "datatype": "BYTES", "shape": [1], "data": ["good"]}]}
    check(body, body_schema(document, path), document)
    check(served.post(path, body).json(), answer_schema(document, path), document)
    with pytest.raises(jsonschema.ValidationError):
        check({"inputs": [{**body["inputs"][0], "name": "texts"}]}, body_schema(document, path), document)


@pytest.mark.skipif("HFSPEC_CLIENTS_PYTHON" not in os.environ, reason="HFSPEC_CLIENTS_PYTHON names no Python")
def test_schemathesis_finds_no_fault_of_the_server_and_no_answer_outside_its_schema(served):
    checks = "not_a_server_error,response_schema_conformance,content_type_conformance"
    amount = ["--phases", "fuzzing", "--max-examples", "2", "--seed", "1"]
    command = [os.environ["HFSPEC_CLIENTS_PYTHON"], "-m", "schemathesis.cli", "run", f"{served.url}/openapi.json"]
    rest = [
        "--exclude-path-regex",
        "/versions/",
        "--generation-database",
        "none",
        "--no-color",
        "--request-timeout",
        "60",
    ]
    run = subprocess.run(
        [*command, "--checks", checks, *amount, *rest], check=False, capture_output=True, text=True, timeout=240
    )
    assert run.returncode == 0, run.stdout + run.stderr
    selected, tested = (re.search(rf"{word}: (\d+)", run.stdout) for word in ("Selected", "Tested"))
    assert int(selected[1]) == int(tested[1]) > 0


def test_docs_show_it_without_anything_from_outside(served):
    page = served.get("/docs")
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert "POST /models/sentiment/predict" in page.text
    assert "http" not in page.text.split("</head>", maxsplit=1)[0]


def test_params_have_their_types_limits_and_choices(tmp_path, build, checkpoint):
    keys = {"signature": {"params": PARAMS}, "input_example": {"text": "a <b>fine</b> day"}}
    made = {"sentiment": build(checkpoint("bert-sentiment"), "text-classification", **keys)}
    with serving(tmp_path, {"models": entries(made)}, made) as served:
        document = served.get("/openapi.json").json()
        path = "/models/sentiment/predict"
        params = body_schema(document, path)["properties"]["params"]
        assert params["properties"]["top_k"]["type"] == "integer"
        assert (params["properties"]["top_k"]["minimum"], params["properties"]["top_k"]["maximum"]) == (1, 3)
        assert params["properties"]["function_to_apply"]["enum"] == ["softmax", "sigmoid"]
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["examples"]
        assert example["example"]["value"] == {"inputs": {"text": "a <b>fine</b> day"}}
        for given, status in (({"top_k": 2}, 200), ({"top_k": 4}, 400), ({"function_to_apply": "none"}, 400)):
            is_good = jsonschema.Draft202012Validator(params).is_valid(given)
            assert served.post(path, {"inputs": "good", "params": given}).status_code == status
            assert is_good == (status == 200)
        page = served.get("/").text
        assert "a &lt;b&gt;fine&lt;/b&gt; day" in page
        assert "<b>fine" not in page
        form = {"model": (None, "sentiment"), "row.text": (None, "good"), "param.top_k": (None, "2")}
        answer = requests.post(f"{served.url}/try", files=form, timeout=60)
        assert answer.status_code == 200
        assert answer.text.count("<td>POSITIVE</td>") == answer.text.count("<td>NEGATIVE</td>") == 1
