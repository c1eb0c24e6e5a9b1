"""Bodies that nobody means: every protocol refuses them in its own words, and none of them fails the server."""

from __future__ import annotations

import pytest
import requests

from tests.runtime.chats import HELLO

ODD = [
    None,
    True,
    -1,
    2**63,
    2**64,
    1e308,
    1e-320,
    1.5,
    "",
    "\ud800".encode("utf-16", "surrogatepass").decode("utf-16", "replace"),
    "a\x00b",
    [],
    [None],
    [[]],
    [["a", "b", "c"]],
    {},
    {"a": {"b": [1]}},
    [{"text": 1}],
    ["a", 1],
]
BODIES = {
    "/v1/chat/completions": {
        "model": "assistant",
        "messages": HELLO,
        "max_tokens": 2,
        "n": 1,
        "temperature": 0,
        "stop": "x",
        "stream": False,
        "stream_options": {},
        "seed": 1,
        "tools": [],
        "tool_choice": "auto",
        "response_format": {"type": "text"},
    },
    "/v1/completions": {
        "model": "writer",
        "prompt": "a",
        "max_tokens": 2,
        "temperature": 1,
        "seed": 1,
        "echo": False,
        "logit_bias": {},
    },
    "/v1/embeddings": {"model": "embedder", "input": "a", "dimensions": 2, "encoding_format": "float", "user": "me"},
    "/rerank": {"query": "a", "texts": ["b"], "raw_scores": False, "truncate": True, "truncation_direction": "right"},
    "/v1/rerank": {"model": "reranker", "query": "a", "documents": ["b"], "top_n": 1, "return_documents": False},
    "/v2/rerank": {"model": "reranker", "query": "a", "documents": ["b"], "max_chunks_per_doc": 1},
    "/embed": {"inputs": "a", "normalize": True, "truncate": True, "prompt_name": None, "dimensions": 2},
    "/embed_sparse": {"inputs": "a", "truncate": True},
    "/predict?model=sentiment": {"inputs": "a", "raw_scores": False},
    "/predict?model=reranker": {"inputs": ["a", "b"], "raw_scores": False},
    "/similarity": {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {}},
    "/invocations?model=sentiment": {"inputs": ["a"], "params": {}},
    "/invocations?model=embedder": {"dataframe_split": {"columns": ["text"], "data": [["a"]], "index": [0]}},
    "/invocations?model=assistant": {"messages": HELLO, "max_tokens": 2},
    "/invocations?model=reranker": {"dataframe_records": [{"query": "a", "document": "b"}]},
    "/invocations?model=vit": {"instances": ["a"]},
    "/models/sentiment/predict": {"inputs": ["a"], "params": {}, "outputs": "full"},
    "/models/reranker/predict": {"inputs": [["a", "b"]]},
    "/models/vit/predict": {"inputs": ["a"]},
    "/models/whisper/predict": {"inputs": [{"audio": "a"}]},
}


def changed(body):
    """The body with every key's value replaced by every odd one, those of objects in it too."""
    for key, value in body.items():
        yield from ({**body, key: odd} for odd in ODD)
        if isinstance(value, dict):
            yield from ({**body, key: one} for one in changed(value))


@pytest.mark.parametrize("path", BODIES)
def test_no_body_fails_the_server(served, path):
    with requests.Session() as session:
        for body in changed(BODIES[path]):
            answered = session.post(served.url + path, json=body, timeout=60)
            assert answered.status_code < 500, (body, answered.text)
            if answered.status_code >= 400:
                assert "Traceback" not in answered.text
                assert answered.json()
