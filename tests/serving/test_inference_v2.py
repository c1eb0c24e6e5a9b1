"""The Open Inference Protocol: what it says, what tritonclient reads of it, and its repository."""

from __future__ import annotations

import base64
import json
import os
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest
import requests

import hfspec
from tests.runtime.images import file_of, picture
from tests.serving.servers import entries, fleet_of, serving

ADMIN = {"authorization": "Bearer an-admin-key-of-tests"}
USER = {"authorization": "Bearer a-user-key-of-tests"}
HEAD = "Inference-Header-Content-Length"
PICTURE = file_of(picture(3))


def tensor(name, datatype, data, shape=None):
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


def infer(served, name, *inputs, status=200, **rest):
    answer = served.post(f"/v2/models/{name}/infer", {"inputs": list(inputs), **rest})
    assert answer.status_code == status, answer.text
    body = answer.json()
    if status != 200:
        return body["error"]
    return {output["name"]: np.reshape(output["data"], output["shape"]) for output in body["outputs"]}


def test_health_and_metadata(served):
    assert served.get("/v2/health/live").json() == {"live": True}
    assert served.get("/v2/health/ready").json() == {"ready": True}
    assert served.get("/v2/models/sentiment/ready").json() == {"name": "sentiment", "ready": True}
    assert served.get("/v2").json()["version"] == hfspec.__version__
    said = served.get("/v2/models/sentiment/versions/1").json()
    assert said == served.get("/v2/models/sentiment").json()
    assert said["inputs"][0] == {"name": "text", "datatype": "BYTES", "shape": [-1]}
    assert said["inputs"][1]["parameters"] == {"optional": True}
    assert [(out["name"], out["datatype"]) for out in said["outputs"]] == [("label", "BYTES"), ("score", "FP64")]
    assert served.get("/v2/models/embedder").json()["outputs"] == [
        {"name": "output", "datatype": "FP32", "shape": [-1, 32]}
    ]


def test_configuration_and_statistics_as_triton_has_them(served):
    said = served.get("/v2/models/sentiment/config").json()
    assert (said["name"], said["max_batch_size"], said["platform"]) == ("sentiment", 0, "hfspec_transformers")
    assert said["input"][0] == {"name": "text", "data_type": "TYPE_STRING", "dims": [-1], "optional": False}
    assert [one["data_type"] for one in said["output"]] == ["TYPE_STRING", "TYPE_FP64"]

    def stats():
        (found,) = served.get("/v2/models/sentiment/versions/1/stats").json()["model_stats"]
        return found["last_inference"], found["inference_stats"]

    _, before = stats()
    infer(served, "sentiment", tensor("text", "BYTES", ["good"]))
    infer(served, "sentiment", tensor("texts", "BYTES", ["good"]), status=400)
    last, after = stats()
    assert last > 1.6e12  # milliseconds of the epoch
    assert after["success"]["count"] == before["success"]["count"] + 1
    assert after["fail"]["count"] == before["fail"]["count"] + 1
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert after["success"]["ns"] == sum(after[part]["ns"] for part in parts) > before["success"]["ns"]
    assert {one["name"] for one in served.get("/v2/models/stats").json()["model_stats"]} == set(served.artifacts)
    for path in ("/v2/models/nobody/stats", "/v2/models/nobody/config", "/v2/models/sentiment/versions/2/config"):
        assert served.get(path).status_code == 404


def test_rows_are_answered_as_predict_answers_them(served):
    found = infer(served, "sentiment", tensor("text", "BYTES", ["good", "größer"]), id="a")
    wanted = hfspec.load(served.artifacts["sentiment"]).predict(["good", "größer"])
    assert found["label"].tolist() == wanted["label"].tolist()
    assert found["score"] == pytest.approx(wanted["score"].to_numpy(), abs=1e-5)
    nested = infer(served, "embedder", tensor("text", "BYTES", [["good"], ["bad"]], [2, 1]))["output"]
    assert nested == pytest.approx(hfspec.load(served.artifacts["embedder"]).predict(["good", "bad"]), abs=1e-5)


def test_columns_of_structures_are_texts_of_json(served):
    messages = json.dumps([{"role": "user", "content": "hello"}])
    given = [tensor("messages", "BYTES", [messages]), tensor("max_tokens", "INT64", [3])]
    (answer,) = infer(served, "assistant", *given)["output"]
    assert json.loads(answer)["usage"]["completion_tokens"] <= 3
    documents = [tensor("query", "BYTES", ["a"] * 2), tensor("documents", "BYTES", [json.dumps(["b", "c"])] * 2)]
    assert infer(served, "reranker", *documents)["output"].shape == (2, 2)
    full = infer(served, "sentiment", tensor("text", "BYTES", ["good"]), parameters={"outputs": "full"})["output"]
    assert set(json.loads(full[0])) >= {"labels", "scores"}


def test_files_are_base64_in_json(served):
    image = PICTURE
    found = infer(served, "vit", tensor("image", "BYTES", [base64.b64encode(image).decode()]))
    assert found["label"].tolist()[:1] == hfspec.load(served.artifacts["vit"]).predict([image])["label"].tolist()[:1]
    assert "base64" in infer(served, "vit", tensor("image", "BYTES", ["/etc/hostname"]), status=400)


def test_binary_tensors_follow_the_head(served):
    texts = [b"good", "größer".encode()]
    data = b"".join(struct.pack("<I", len(text)) + text for text in texts)
    head = {
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [2], "parameters": {"binary_data_size": len(data)}}],
        "parameters": {"binary_data_output": True},
    }
    sent = json.dumps(head).encode()

    def ask(body, size):
        return requests.post(f"{served.url}/v2/models/embedder/infer", body, headers={HEAD: str(size)}, timeout=60)

    answer = ask(sent + data, len(sent))
    size = int(answer.headers[HEAD])
    (output,) = json.loads(answer.content[:size])["outputs"]
    assert output["parameters"]["binary_data_size"] == len(answer.content) - size
    found = np.frombuffer(answer.content[size:], "<f4").reshape(output["shape"])
    wanted = hfspec.load(served.artifacts["embedder"]).predict([text.decode() for text in texts])
    assert found == pytest.approx(wanted, abs=1e-5)
    for body, length in [
        (sent + data[:-1], len(sent)),
        (sent + data + b"x", len(sent)),
        (sent + data, len(sent) - 1),
        (sent + data, 10**9),
        (sent + struct.pack("<I", 2**31) + data[4:], len(sent)),
        (sent + data.replace("größer".encode(), b"gr\xff\xff\xff\xffer"), len(sent)),
    ]:
        refused = ask(body, length)
        assert refused.status_code == 400, refused.text
        assert refused.json()["error"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "inputs"),
        ({"inputs": []}, "inputs"),
        ({"inputs": [1]}, "inputs"),
        ({"inputs": [{"name": "text"}]}, "datatype"),
        ({"inputs": [tensor("texts", "BYTES", ["a"])]}, "text"),
        ({"inputs": [tensor("text", "BYTES", ["a"], [2])]}, "shape"),
        ({"inputs": [tensor("text", "BYTES", ["a"], [-1])]}, "shape"),
        ({"inputs": [tensor("text", "BYTES", ["a", "b"], [1, 2])]}, "shape"),
        ({"inputs": [tensor("text", "BYTES", [1])]}, "texts"),
        ({"inputs": [tensor("text", "FP32", [1.0])]}, "text"),
        ({"inputs": [tensor("text", "FP32", ["a"])]}, "numbers"),
        ({"inputs": [tensor("text", "UINT8", [300])]}, "UINT8"),
        ({"inputs": [tensor("text", "INT64", [1.5])]}, "INT64"),
        ({"inputs": [tensor("text", "BYTES", ["a"]), tensor("text_pair", "BYTES", ["a", "b"])]}, "rows"),
        ({"inputs": [tensor("text", "BYTES", ["a"]), tensor("text", "BYTES", ["a"])]}, "twice"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "outputs": [{"name": "labels"}]}, "label"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "outputs": [{"name": ["label"]}]}, "name"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "parameters": {"top_q": 1}}, "top_q"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "parameters": {"outputs": "some"}}, "outputs"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "parameters": {"timeout": -1}}, "timeout"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "parameters": []}, "parameters"),
        ({"inputs": [tensor("text", "BYTES", ["a"])], "id": 1}, "id"),
    ],
)
def test_what_is_no_request_is_refused(served, body, said):
    answer = served.post("/v2/models/sentiment/infer", body)
    assert answer.status_code == 400, answer.text
    assert said in answer.json()["error"]


def test_more_rows_than_the_limit_are_refused(served):
    one = {"name": "text", "datatype": "BYTES", "shape": [10_001], "data": []}
    assert served.post("/v2/models/sentiment/infer", {"inputs": [one]}).status_code == 413


def test_unknown_models_and_versions(served):
    for path in ("/v2/models/nobody", "/v2/models/sentiment/versions/2", "/v2/models/nobody/ready"):
        answer = served.get(path)
        assert answer.status_code == 404
        assert set(answer.json()) == {"error"}
    one = {"inputs": [tensor("text", "BYTES", ["a"])]}
    assert served.post("/v2/models/sentiment/versions/2/infer", one).status_code == 404
    for action in ("load", "unload"):  # nobody administers a server without keys
        assert served.post(f"/v2/repository/models/sentiment/{action}", {}).status_code == 403


@pytest.fixture(scope="module")
def administered(tmp_path_factory, build, checkpoint):
    """A server with keys and without page, docs and meters, whose artifacts are copies of its own."""
    folder = tmp_path_factory.mktemp("administered")
    made = fleet_of(build, checkpoint, "sentiment", "splade")
    own = {name: Path(shutil.copytree(source, folder / name)) for name, source in made.items()}
    keys = [
        {"name": "boss", "key": "${oc.env:BOSS}", "scopes": ["admin", "predict"]},
        {"name": "user", "key": "${oc.env:USER_KEY}"},
    ]
    off = {"page": False, "docs": False, "metrics": False}
    fleet = {"models": entries(own), "server": {"api_keys": {"keys": keys}, **off}}
    fleet["models"]["splade"]["endpoints"] = ["hfspec"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOSS", ADMIN["authorization"].split()[1])
        patch.setenv("USER_KEY", USER["authorization"].split()[1])
        with serving(folder, fleet, own) as found:
            yield found


def test_a_model_is_unloaded_and_loaded_again(administered):
    served, one = administered, {"inputs": [tensor("text", "BYTES", ["good"])]}

    def states():
        listed = served.post("/v2/repository/index", {}, headers=USER).json()
        return {model["name"]: model["state"] for model in listed}

    assert served.post("/v2/repository/models/sentiment/unload", {}, headers=USER).status_code == 403
    assert served.post("/v2/repository/models/sentiment/unload", {}).status_code == 401
    assert states()["sentiment"] == "READY"
    assert served.post("/v2/repository/models/sentiment/unload", {}, headers=ADMIN).json() == {}
    assert states()["sentiment"] == "UNAVAILABLE"
    assert served.post("/v2/models/sentiment/infer", one, headers=USER).status_code == 503
    assert served.get("/v2/models/sentiment/ready").status_code == 503
    assert served.get("/v2/health/ready").status_code == 200  # the others answer
    assert served.post("/v2/repository/models/sentiment/load", {}, headers=ADMIN).json() == {}
    assert served.post("/v2/models/sentiment/infer", one, headers=USER).status_code == 200
    assert served.post("/v2/repository/models/nobody/load", {}, headers=ADMIN).status_code == 404


def test_a_bad_artifact_leaves_the_old_one_answering(administered):
    served = administered
    weights = served.artifacts["sentiment"] / "model" / "model.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    try:
        refused = served.post("/v2/repository/models/sentiment/load", {}, headers=ADMIN)
    finally:
        weights.write_bytes(good)
    assert refused.status_code == 400
    assert "model.safetensors" in refused.json()["error"]
    one = {"inputs": [tensor("text", "BYTES", ["good"])]}
    assert served.post("/v2/models/sentiment/infer", one, headers=USER).status_code == 200


def test_a_model_may_decline_the_protocol(administered):
    answer = administered.get("/v2/models/splade", headers=USER)
    assert answer.status_code == 404
    assert "hfspec" in answer.json()["error"]


def test_what_is_switched_off_is_not_there(administered):
    for path in ("/", "/docs", "/openapi.json", "/metrics", "/stats", "/page.css", "/page.js"):
        assert administered.get(path, headers=USER).status_code == 404, path


@pytest.mark.skipif("HFSPEC_TRITON_PYTHON" not in os.environ, reason="HFSPEC_TRITON_PYTHON names no Python")
def test_tritonclient_reads_it(served, tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(PICTURE)
    script = Path(__file__).with_name("triton_calls.py")
    command = [os.environ["HFSPEC_TRITON_PYTHON"], script, served.url.removeprefix("http://"), image]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=120).stdout)
    sentiment, embedder = (hfspec.load(served.artifacts[name]) for name in ("sentiment", "embedder"))
    assert (said["live"], said["ready"], said["model_ready"], said["id"]) == (True, True, True, "mine")
    assert said["labels"] == sentiment.predict(["good", "a bad day"])["label"].tolist()
    assert said["dtype"] == "float32"
    assert np.array(said["embeddings"]) == pytest.approx(embedder.predict(["good", "größer"]), abs=1e-5)
    assert np.array(said["embeddings_json"]) == pytest.approx(embedder.predict(["good"]), abs=1e-5)
    assert said["image"] == hfspec.load(served.artifacts["vit"]).predict([PICTURE])["label"].tolist()
    assert "nobody" in said["error"]
    assert said["config"]["output"] == [{"name": "output", "data_type": "TYPE_FP32", "dims": [-1, 32]}]
    (stats,) = said["statistics"]["model_stats"]
    assert stats["inference_stats"]["success"]["count"] >= 1
    assert {one["name"] for one in said["all_statistics"]["model_stats"]} == set(served.artifacts)
