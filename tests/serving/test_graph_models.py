"""A server over models of ONNX Runtime's generate(), in processes that can import neither torch nor transformers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import openai
import pytest

import hfspec
from tests.compiling import write_spec
from tests.libraries.blocking import environment
from tests.serving.servers import entries, serving

MESSAGES = [{"role": "user", "content": "What is the capital of Spain?"}]


@pytest.fixture(scope="module")
def graphs(checkpoint, tmp_path_factory):
    """A running server with a chatter and a writer."""
    place = tmp_path_factory.mktemp("graphs")
    artifacts = {}
    for name, source, task in (("chatter", "genai-qwen2", "llm/v1/chat"), ("writer", "genai-llama", "text-generation")):
        keys = {"library": "onnxruntime-genai", "task": task, "name": name}
        spec = write_spec(place / name, checkpoint(source), **keys)
        artifacts[name] = hfspec.compile(spec, output=place / f"{name}-artifact", run=False).path
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment(place / "blocked")["PYTHONPATH"])
        with serving(place / "server", {"models": entries(artifacts)}, artifacts) as found:
            yield found


@pytest.fixture(scope="module")
def client(graphs):
    with openai.OpenAI(base_url=f"{graphs.url}/v1", api_key="none", max_retries=0, timeout=120) as found:
        yield found


def test_a_chat_is_answered_whole_and_in_pieces(graphs, client):
    asked = {"model": "chatter", "messages": MESSAGES, "max_tokens": 9, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    expected = hfspec.load(graphs.artifacts["chatter"]).predict(
        {key: value for key, value in asked.items() if key != "model"}
    )
    assert whole.choices[0].message.content == expected["choices"][0]["message"]["content"]
    assert whole.usage.completion_tokens == expected["usage"]["completion_tokens"]
    pieces = [chunk.choices[0].delta.content or "" for chunk in client.chat.completions.create(**asked, stream=True)]
    assert "".join(pieces) == whole.choices[0].message.content


def test_requests_at_once_get_what_each_gets_alone(client):
    prompts = ["hello world", "the capital of Spain is", "a"]

    def answer(prompt):
        return client.completions.create(model="writer", prompt=prompt, max_tokens=8, temperature=0).choices[0].text

    alone = [answer(prompt) for prompt in prompts]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(answer, prompts)) == alone


def test_the_list_of_models_says_that_prompts_do_not_join(graphs):
    assert graphs.get("/models/chatter").json()["joins_at_every_step"] is False
