"""Completions: what the model says after each prompt, in the OpenAI API's objects."""

from __future__ import annotations

import json

import pytest
from openai.types import Completion

import hfspec
from hfspec.errors import InputError
from tests.runtime.chats import loaded, said, text_of
from tests.runtime.texts import MIXED, shuffled

PROMPTS = ["hello", "the house on the hill", "5", "None", "hello"]


@pytest.fixture
def complete(build, checkpoint):
    def load(name="gpt2", **keys):
        return hfspec.load(build(checkpoint(name), "llm/v1/completions", **keys))

    return load


def ids_of(folder, prompt):
    return loaded(folder)[1](prompt)["input_ids"]


def answer(folder, prompt, count=12, seed=None, **settings):
    return text_of(folder, said(folder, ids_of(folder, prompt), count, seed, **settings))


def texts(completion):
    return [choice["text"] for choice in completion["choices"]]


@pytest.mark.parametrize("name", ["gpt2", "llama-chat"])
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_every_prompt_gets_what_the_model_says_after_it(complete, checkpoint, name, batch_tokens):
    folder = checkpoint(name)
    prompts = shuffled(tuple(text for text in MIXED if text), seed=batch_tokens)
    made = complete(name, model_config={"batch_tokens": batch_tokens}).predict({"prompt": prompts})
    Completion.model_validate(json.loads(json.dumps(made)), strict=True)
    assert texts(made) == [answer(folder, prompt) for prompt in prompts]
    assert [choice["index"] for choice in made["choices"]] == list(range(len(prompts)))
    read = sum(len(ids_of(folder, prompt)) for prompt in prompts)
    assert made["usage"]["prompt_tokens"] == read
    assert made["usage"]["total_tokens"] == read + made["usage"]["completion_tokens"]


def test_one_prompt_has_one_choice(complete, checkpoint):
    made = complete().predict({"prompt": "hello", "max_tokens": 5})
    assert made["object"] == "text_completion"
    assert texts(made) == [answer(checkpoint("gpt2"), "hello", 5)]
    assert made["choices"][0]["finish_reason"] == "length"
    assert made["usage"]["completion_tokens"] == 5
    assert texts(complete().predict("hello")) == [answer(checkpoint("gpt2"), "hello")]
    assert texts(complete().predict(["hello", "5"])) == [answer(checkpoint("gpt2"), text) for text in ("hello", "5")]


def test_choices_are_numbered_prompt_by_prompt(complete, checkpoint):
    request = {"prompt": ["hello", "the house"], "n": 2, "seed": 4, "temperature": 1.4, "max_tokens": 6}
    made = complete("llama-chat").predict(request)
    truth = [
        answer(checkpoint("llama-chat"), prompt, 6, seed=4 + number, temperature=1.4)
        for prompt in request["prompt"]
        for number in (0, 1)
    ]
    assert texts(made) == truth
    assert [choice["index"] for choice in made["choices"]] == [0, 1, 2, 3]
    assert made["usage"]["prompt_tokens"] == sum(
        len(ids_of(checkpoint("llama-chat"), prompt)) for prompt in request["prompt"]
    )


def test_each_request_has_its_own_settings(complete, checkpoint):
    requests = [{"prompt": prompt, "max_tokens": count} for prompt in PROMPTS for count in (1, 5, 9)]
    made = complete().predict(requests)
    truth = [answer(checkpoint("gpt2"), request["prompt"], request["max_tokens"]) for request in requests]
    assert [texts(one) for one in made] == [[text] for text in truth]
    assert [one["usage"]["completion_tokens"] for one in made] == [1, 5, 9] * 5


def test_echo_puts_the_prompt_before_each_answer(complete, checkpoint):
    made = complete().predict({"prompt": ["hello", "5"], "echo": True, "max_tokens": 4})
    assert texts(made) == [prompt + answer(checkpoint("gpt2"), prompt, 4) for prompt in ("hello", "5")]
    assert made["usage"]["completion_tokens"] == 8


def test_any_text_stops(complete, checkpoint):
    free = answer(checkpoint("llama-chat"), "hello", 20)
    stops = sorted({free[at : at + 3] for at in range(len(free)) if "�" not in free[at : at + 3]})
    made = complete("llama-chat").predict([{"prompt": "hello", "max_tokens": 20, "stop": stop} for stop in stops])
    assert [texts(one)[0] for one in made] == [free[: free.index(stop)] for stop in stops]
    assert {one["choices"][0]["finish_reason"] for one in made} == {"stop"}


def test_a_template_is_put_around_each_prompt(complete, checkpoint):
    made = complete(prompt_template="Q: {prompt} A:").predict({"prompt": PROMPTS, "max_tokens": 4})
    assert texts(made) == [answer(checkpoint("gpt2"), f"Q: {prompt} A:", 4) for prompt in PROMPTS]


def test_pieces_of_a_stream_make_up_the_choices(complete):
    predictor = complete("llama-chat")
    request = {"prompt": ["hello", "a"], "n": 2, "seed": 1, "temperature": 1.1, "max_tokens": 9, "echo": True}
    truth = predictor.predict(request)
    chunks = list(predictor.predict({**request, "stream": True, "stream_options": {"include_usage": True}}))
    made = ["", "", "", ""]
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        made[choice["index"]] += choice["text"]
        assert Completion.construct(**chunk).object == "text_completion"
    assert made == texts(truth)
    assert (chunks[-1]["choices"], chunks[-1]["usage"]) == ([], truth["usage"])


def test_an_empty_prompt_is_a_prompt(complete, checkpoint):
    made = complete().predict({"prompt": "", "max_tokens": 4})
    assert texts(made) == [text_of(checkpoint("gpt2"), said(checkpoint("gpt2"), [0], 4))]
    assert made["usage"]["prompt_tokens"] == 0


BAD = [
    ({}, "row 0: the request has no prompt"),
    ({"promt": "hello"}, "no key 'promt'.*did you mean 'prompt'"),
    ({"prompt": None}, "the request has no prompt"),
    ({"prompt": []}, "prompt: the list has no prompts"),
    ({"prompt": 5}, "prompt: tokens are not taken"),
    ({"prompt": [1, 2]}, "prompt: tokens are not taken"),
    ({"prompt": ["hello", None]}, "column 'prompt': the value is missing"),
    ({"prompt": ["hello", 2.5]}, "expected text"),
    ({"prompt": "hello", "echo": "yes"}, "echo: expected true or false"),
    ({"prompt": "hello", "suffix": "x"}, "suffix is not supported"),
    ({"prompt": "hello", "best_of": 3}, "best_of is not supported"),
    ({"prompt": "hello", "logprobs": 3}, "logprobs is not supported"),
    ({"prompt": "hello", "messages": []}, "no key 'messages'"),
    ({"prompt": ["hello", "a b c d e f " * 60]}, r"the prompt has \d+ tokens and 12 more.*reads at most 256"),
    ([{"prompt": "hello"}, {"prompt": "hello", "max_tokens": -1}], "row 1: max_tokens"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_bad_requests_are_refused_by_row(complete, data, message):
    with pytest.raises(InputError, match=message):
        complete().predict(data)
