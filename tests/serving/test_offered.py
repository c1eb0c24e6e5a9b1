"""A server with keys and a model that is offered by one protocol only: each error in the protocol's own form."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import openai
import pytest
from huggingface_hub import InferenceClient

from tests.runtime.chats import HELLO
from tests.serving.servers import entries, fleet_of, serving

KEY = "a-key-of-sixteen-or-more"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory, build, checkpoint):
    """A server with a key, whose model is offered by the OpenAI API alone."""
    artifacts = fleet_of(build, checkpoint, "assistant")
    models = entries(artifacts)
    models["assistant"] |= {"endpoints": ["openai"], "limits": {"rows": 4}}
    os.environ["SERVED_KEY"] = KEY
    server = {"api_keys": {"keys": [{"name": "tester", "key": "${oc.env:SERVED_KEY}"}]}}
    try:
        with serving(tmp_path_factory.mktemp("guarded"), {"models": models, "server": server}, artifacts) as found:
            yield found
    finally:
        del os.environ["SERVED_KEY"]


def client_of(guarded, key=KEY):
    return openai.OpenAI(base_url=f"{guarded.url}/v1", api_key=key, max_retries=0, timeout=60)


def test_a_key_is_needed(guarded):
    with client_of(guarded) as client:
        assert client.chat.completions.create(model="assistant", messages=HELLO, max_tokens=2).choices
    with client_of(guarded, "another-key-of-sixteen") as client, pytest.raises(openai.AuthenticationError) as caught:
        client.chat.completions.create(model="assistant", messages=HELLO)
    assert caught.value.code == "invalid_api_key"
    assert guarded.post("/invocations", {"inputs": ["a"]}).json()["error_code"] == "UNAUTHENTICATED"
    assert guarded.post("/embed", {"inputs": ["a"]}).json()["error_type"] == "Unauthorized"
    assert "message" in guarded.post("/v2/rerank", {}).json()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/invocations?model=assistant", {"inputs": ["a"]}),
        ("/models/assistant/predict", {"inputs": ["a"]}),
        ("/embed?model=assistant", {"inputs": ["a"]}),
        ("/v1/rerank", {"model": "assistant", "query": "a", "documents": ["b"]}),
    ],
)
def test_a_protocol_that_a_model_is_not_offered_by_is_not_found(guarded, path, body):
    refused = guarded.post(path, body, headers={"authorization": f"Bearer {KEY}"})
    assert refused.status_code == 404
    assert "'assistant' is not offered by the protocol" in refused.text
    assert "openai" in refused.text


def test_a_client_that_knows_its_server_by_the_address_alone_asks_the_only_model(guarded):
    client = InferenceClient(base_url=guarded.url, token=KEY, timeout=60)  # it sends the model's name `dummy`
    assert client.chat_completion(HELLO, max_tokens=2).model == "assistant"
    with client_of(guarded) as other:
        assert other.chat.completions.create(model="tgi", messages=HELLO, max_tokens=2).choices
        with pytest.raises(openai.NotFoundError):
            other.chat.completions.create(model="nobody", messages=HELLO)


def test_more_rows_than_the_limit_are_refused(guarded):
    with client_of(guarded) as client, pytest.raises(openai.APIStatusError, match="at most 4") as caught:
        client.chat.completions.create(model="assistant", messages=HELLO, n=5)
    assert caught.value.status_code == 413


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the replica")
def test_a_replica_that_dies_in_the_middle_of_a_stream_ends_it_with_an_error(guarded):
    with client_of(guarded) as client:
        stream = client.chat.completions.create(model="assistant", messages=HELLO, max_tokens=100_000, stream=True)
        chunks = iter(stream)
        next(chunks)
        for child in Path(f"/proc/{guarded.process.pid}/task/{guarded.process.pid}/children").read_text().split():
            os.kill(int(child), signal.SIGKILL)
        with pytest.raises(openai.APIError, match="try again"):
            list(chunks)
