"""Rerank as TEI, Jina and Cohere have it, of a running server, against CrossEncoder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

QUERY = "how tall is the hill"
TEXTS = ["a hill", "the hill is a hundred metres tall, they say", "something else", "", "tall"]


@pytest.fixture(scope="module")
def encoder(checkpoint):
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(checkpoint("ce-msmarco")))


@pytest.fixture(scope="module")
def scores(encoder):
    """``scores(raw)``: by the place of the text."""
    import torch

    def get(*, raw):
        function = torch.nn.Identity() if raw else torch.nn.Sigmoid()
        found = encoder.predict([(QUERY, text) for text in TEXTS], activation_fn=function, convert_to_numpy=True)
        return [float(score) for score in found]

    return get


def ranked(scores):
    return sorted(range(len(scores)), key=lambda place: -scores[place])


@pytest.mark.parametrize("raw", [False, True])
def test_tei_scores_are_those_of_the_cross_encoder_best_first(served, scores, raw):
    body = {"query": QUERY, "texts": TEXTS, "raw_scores": raw, "return_text": raw}
    made = served.post("/rerank", body).json()
    wanted = scores(raw=raw)
    assert [entry["index"] for entry in made] == ranked(wanted)
    for entry in made:
        assert entry["score"] == pytest.approx(wanted[entry["index"]], abs=1e-5)
        assert entry.get("text") == (TEXTS[entry["index"]] if raw else None)


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank"])
def test_cohere_and_jina_get_relevance_scores(served, scores, path):
    documents = [TEXTS[0], {"text": TEXTS[1]}, *TEXTS[2:]]
    body = {"model": "reranker", "query": QUERY, "documents": documents, "top_n": 2, "return_documents": True}
    made = served.post(path, body).json()
    wanted = scores(raw=False)
    assert [entry["index"] for entry in made["results"]] == ranked(wanted)[:2]
    for entry in made["results"]:
        assert entry["relevance_score"] == pytest.approx(wanted[entry["index"]], abs=1e-5)
        assert entry["document"] == {"text": TEXTS[entry["index"]]}
    assert made["meta"]["api_version"]["version"] == path[2]
    assert made["usage"]["total_tokens"] > 0
    whole = served.post(path, {"query": QUERY, "documents": TEXTS}).json()["results"]
    assert len(whole) == len(TEXTS)
    assert "document" not in whole[0]


@pytest.mark.skipif("HFSPEC_CLIENTS_PYTHON" not in os.environ, reason="HFSPEC_CLIENTS_PYTHON names no Python")
def test_coheres_client_reads_both_versions(served, scores):
    script = Path(__file__).with_name("cohere_calls.py")
    command = [os.environ["HFSPEC_CLIENTS_PYTHON"], "-W", "ignore", script, served.url, QUERY, json.dumps(TEXTS)]
    run = subprocess.run(command, check=False, capture_output=True, timeout=120)
    assert run.returncode == 0, run.stderr
    said, wanted = json.loads(run.stdout), scores(raw=False)
    assert said["id"]
    assert [index for index, _ in said["second"]] == ranked(wanted)[:3]
    assert [index for index, _, _ in said["first"]] == ranked(wanted)
    for index, score, text in said["first"]:
        assert (score, text) == (pytest.approx(wanted[index], abs=1e-5), TEXTS[index])
    assert [score for _, score in said["second"]] == pytest.approx([wanted[place] for place in ranked(wanted)[:3]])
    assert said["nobody"][0] == 404
    assert "nobody" in said["nobody"][1]
    assert said["reranker"][0] == 400


def test_texts_that_would_be_cut_may_be_refused(served):
    texts = ["short", "long " * 1000]
    assert len(served.post("/rerank", {"query": QUERY, "texts": texts}).json()) == 2
    refused = served.post("/rerank", {"query": QUERY, "texts": texts, "truncate": False})
    assert (refused.status_code, refused.json()["error_type"]) == (413, "Validation")


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ({"texts": TEXTS}, 422, "query"),
        ({"query": QUERY}, 422, "texts"),
        ({"query": QUERY, "texts": []}, 400, "at least one"),
        ({"query": QUERY, "texts": ["a", 7]}, 422, "texts[1]"),
        ({"query": QUERY, "texts": "a"}, 422, "list"),
        ({"query": QUERY, "texts": ["a"], "raw_scores": "no"}, 422, "raw_scores"),
        ({"query": QUERY, "texts": ["a"], "raw_score": True}, 422, "raw_score"),
        ({"query": QUERY, "texts": ["a"], "truncation_direction": "Left"}, 422, "right"),
    ],
)
def test_a_wrong_request_is_refused_in_teis_form(served, body, status, part):
    refused = served.post("/rerank", body)
    assert refused.status_code == status
    assert set(refused.json()) == {"error", "error_type"}
    assert part in refused.json()["error"]


@pytest.mark.parametrize(
    ("changed", "status", "part"),
    [
        ({"documents": [{"title": "a"}]}, 400, "documents[0]"),
        ({"documents": []}, 400, "at least one"),
        ({"top_n": 0}, 400, "top_n"),
        ({"top_n": "2"}, 400, "top_n"),
        ({"query": None}, 400, "query"),
        ({"model": "nobody"}, 404, "no model"),
        ({"model": "embedder"}, 404, "not offered"),
        ({"model": 3}, 400, "model"),
        ({"rank_fields": ["a"]}, 400, "rank_fields"),
    ],
)
def test_a_wrong_request_is_refused_with_a_message(served, changed, status, part):
    for path in ("/v1/rerank", "/v2/rerank"):
        refused = served.post(path, {"query": QUERY, "documents": ["a"], **changed})
        assert refused.status_code == status
        assert part in refused.json()["message"]
