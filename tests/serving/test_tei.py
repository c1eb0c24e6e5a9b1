"""Text Embeddings Inference's protocol, of a running server."""

from __future__ import annotations

import numpy as np
import pytest

import hfspec

TEXTS = ["a text", "another, longer text"]


@pytest.fixture(scope="module")
def embeddings(served):
    return hfspec.load(served.artifacts["embedder"]).predict(TEXTS)


def test_embeddings_are_of_length_1_unless_asked_otherwise(served, embeddings):
    made = np.array(served.post("/embed", {"inputs": TEXTS}).json())
    assert made == pytest.approx(embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), abs=1e-5)
    plain = served.post("/embed", {"inputs": TEXTS[0], "normalize": False}).json()
    assert np.array(plain) == pytest.approx(embeddings[:1], abs=1e-5)
    few = np.array(served.post("/embed", {"inputs": TEXTS[0], "dimensions": 4}).json())
    assert few[0] == pytest.approx(embeddings[0, :4] / np.linalg.norm(embeddings[0, :4]), abs=1e-5)


def test_sparse_embeddings_are_indices_with_values(served):
    made = served.post("/embed_sparse", {"inputs": TEXTS}).json()
    wanted = hfspec.load(served.artifacts["splade"]).predict(TEXTS)
    for row, mine in zip(wanted, made, strict=True):
        assert [entry["index"] for entry in mine] == row["indices"].tolist()
        assert [entry["value"] for entry in mine] == pytest.approx(row["values"].tolist(), abs=1e-5)


def test_predictions_have_every_label(served):
    (wanted,) = hfspec.load(served.artifacts["sentiment"]).predict(["good"], outputs="full")
    one = served.post("/predict?model=sentiment", {"inputs": "good"}).json()
    assert [entry["label"] for entry in one] == wanted["labels"]
    assert [entry["score"] for entry in one] == pytest.approx(wanted["scores"], abs=1e-5)
    several = served.post("/predict", {"inputs": [["good"], ["bad", "pair"]]}, headers={"model": "sentiment"}).json()
    assert len(several) == 2
    assert [entry["label"] for entry in several[0]] == wanted["labels"]
    raw = served.post("/predict?model=sentiment", {"inputs": ["good"], "raw_scores": True}).json()
    given = hfspec.load(served.artifacts["sentiment"], model_config={"function_to_apply": "none"})
    assert [entry["score"] for entry in raw] == pytest.approx(
        given.predict(["good"], outputs="full")[0]["scores"], abs=1e-5
    )


def test_a_pair_is_scored_by_the_reranker(served):
    made = served.post("/predict?model=reranker", {"inputs": ["a query", "a text"]}).json()
    (score,) = hfspec.load(served.artifacts["reranker"], model_config={"activation_fn": "sigmoid"}).predict(
        [["a query", "a text"]]
    )
    assert made == [{"label": "LABEL_0", "score": pytest.approx(float(score), abs=1e-5)}]


def test_similarity_is_the_cosine(served, embeddings):
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS}}
    made = served.post("/similarity", body).json()
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    assert made == pytest.approx((units @ units[0]).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "kind"), [("embedder", "embedding"), ("reranker", "reranker"), ("sentiment", "classifier")]
)
def test_info_says_what_the_model_is(served, name, kind):
    made = served.get(f"/info?model={name}").json()
    predictor = hfspec.load(served.artifacts[name])
    assert list(made["model_type"]) == [kind]
    assert made["digest"] == predictor.manifest.digest
    assert made["fingerprint"] == predictor.fingerprint
    assert made["max_input_length"] > 0
    assert made["model_dtype"] == "float32"


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        ("/embed", {}, 422, "inputs"),
        ("/embed", {"inputs": []}, 400, "no texts"),
        ("/embed", {"inputs": [7]}, 422, "inputs"),
        ("/embed", {"inputs": "a", "normalise": True}, 422, "normalise"),
        ("/embed", {"inputs": "a", "normalize": "yes"}, 422, "normalize"),
        ("/embed", {"inputs": "a", "prompt_name": "nothing"}, 422, "prompt"),
        ("/embed", {"inputs": "a", "dimensions": 10_000}, 422, "truncate_dim"),
        ("/embed", {"inputs": "long " * 1000, "truncate": False}, 413, "tokens"),
        ("/embed?model=nobody", {"inputs": "a"}, 404, "no model"),
        ("/embed?model=vit", {"inputs": "a"}, 404, "not offered"),
        ("/embed?model=sentiment", {"inputs": "a"}, 422, "text-classification"),
        ("/embed_sparse", {"inputs": "a", "normalize": True}, 422, "normalize"),
        ("/predict", {"inputs": "a"}, 422, "say which model"),
        ("/predict?model=sentiment", {"inputs": ["a", "b", "c"]}, 422, "one text, or two"),
        ("/predict?model=sentiment", {"inputs": [["a"], "b"]}, 422, "inputs"),
        ("/predict?model=sentiment", {"inputs": "long " * 1000, "truncate": False}, 422, "tokens"),
        ("/similarity", {"inputs": ["a"]}, 422, "source_sentence"),
        ("/similarity", {"inputs": {"source_sentence": "a", "sentences": []}}, 400, "no texts"),
    ],
)
def test_a_wrong_request_is_refused_in_teis_form(served, path, body, status, part):
    refused = served.post(path, body)
    assert refused.status_code == status, refused.text
    assert set(refused.json()) == {"error", "error_type"}
    assert part in refused.json()["error"]


def test_info_of_several_models_asks_which(served):
    assert served.get("/info").status_code == 422
