"""huggingface_hub's InferenceClient, which knows a server by its address alone, of a running server."""

from __future__ import annotations

import numpy as np
import pytest
from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError

import hfspec
from tests.runtime.chats import HELLO

TEXTS = ["a text", "another, longer text"]


def client(served, path=""):
    return InferenceClient(base_url=served.url + path, timeout=60)


@pytest.mark.parametrize("path", ["/?model=embedder", "/embed", "/embed?model=embedder"])
def test_embeddings_are_of_length_1_unless_asked_otherwise(served, path):
    plain = hfspec.load(served.artifacts["embedder"]).predict(TEXTS)
    made = client(served, path).feature_extraction(TEXTS, truncate=True, encoding_format="float")
    assert made == pytest.approx(plain / np.linalg.norm(plain, axis=1, keepdims=True), abs=1e-5)
    made = client(served, path).feature_extraction(TEXTS[0], normalize=False, dimensions=4)
    assert made == pytest.approx(plain[:1, :4], abs=1e-5)


@pytest.mark.parametrize("path", ["/?model=embedder", "/similarity"])
def test_similarity_is_the_cosine(served, path):
    vectors = hfspec.load(served.artifacts["embedder"]).predict(TEXTS)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = client(served, path).sentence_similarity(TEXTS[0], TEXTS)
    assert made == pytest.approx((vectors @ vectors[0]).tolist(), abs=1e-5)


@pytest.mark.parametrize("path", ["/?model=sentiment", "/predict?model=sentiment"])
def test_labels_are_best_first(served, path):
    made = client(served, path).text_classification("good")
    (wanted,) = hfspec.load(served.artifacts["sentiment"]).predict(["good"], outputs="full")
    assert [one.label for one in made] == wanted["labels"]
    assert [one.score for one in made] == pytest.approx(wanted["scores"], abs=1e-5)
    (best,) = client(served, path).text_classification("good", top_k=1, function_to_apply="sigmoid")
    predictor = hfspec.load(served.artifacts["sentiment"], model_config={"function_to_apply": "sigmoid"})
    assert best.score == pytest.approx(predictor.predict(["good"])["score"].iloc[0], abs=1e-5)


def test_chats_and_their_streams(served):
    asked = client(served)
    whole = asked.chat_completion(HELLO, model="assistant", max_tokens=4, temperature=0, seed=1)
    parts = asked.chat_completion(HELLO, model="assistant", max_tokens=4, temperature=0, seed=1, stream=True)
    text = "".join(part.choices[0].delta.content or "" for part in parts if part.choices)
    assert whole.choices[0].message.content == text
    assert whole.usage.completion_tokens <= 4


def test_a_ranking_is_what_a_reranker_is_for(served):
    body = {"query": "how tall is the hill", "texts": ["a hill", "something else"]}
    assert served.post("/?model=reranker", body).json() == served.post("/rerank", body).json()
    sparse = served.post("/?model=splade", {"inputs": TEXTS}).json()
    assert sparse == served.post("/embed_sparse", {"inputs": TEXTS}).json()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda served: client(served).feature_extraction("a"), "which model"),
        (lambda served: client(served, "/?model=nobody").feature_extraction("a"), "nobody"),
        (lambda served: client(served, "/?model=assistant").feature_extraction("a"), "assistant"),
        (lambda served: client(served, "/embed").feature_extraction("a", encoding_format="base64"), "float"),
        (lambda served: client(served, "/?model=sentiment").text_classification("a", top_k=0), "top_k"),
        (lambda served: client(served, "/?model=sentiment").text_classification("a", function_to_apply="x"), "x"),
        (lambda served: client(served, "/?model=reranker").text_classification("a", top_k=1), "top_k"),
        (lambda served: client(served).chat_completion(HELLO, max_tokens=1), "which model"),
    ],
)
def test_what_cannot_be_answered_is_refused(served, call, said):
    with pytest.raises(HfHubHTTPError) as caught:
        call(served)
    assert 400 <= caught.value.response.status_code < 500
    assert said in caught.value.response.text
