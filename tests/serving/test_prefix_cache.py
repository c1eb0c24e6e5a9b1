"""Prompts that begin alike share what the model made of their beginning; their answers are those of generate()."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import hfspec
from hfspec.serving.replica.engine import Engine
from hfspec.serving.replica.job import Ask
from tests.serving.process import eventually
from tests.serving.test_engine import Recorder, drained

SYSTEM = "you are a careful assistant that answers in few words and never says what it does not know "
QUESTIONS = ["who are you ?", "what is a film , and what is a good one ?", "why ?"]
MANY = 1 << 20


class Given:
    """How many tokens the model was given, padding counted."""

    def __init__(self, engine):
        self.tokens = 0
        engine.predictor.runner.model.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _, __, inputs):
        self.tokens += inputs["input_ids"].numel()

    def during(self, engine, *asks):
        """Of these requests, which come one after the other."""
        before = self.tokens
        for ask in asks:
            engine.submit(ask)
            drained(engine)
        return self.tokens - before


@pytest.fixture
def engine_of(artifact):
    def make(name, prefix_cache=MANY, task="text-generation"):
        keys = {} if task.startswith("llm/") else {"model_config": {"return_full_text": False}}
        folder = artifact(name, task, **keys)
        return Engine(hfspec.load(folder), Recorder(), prefix_cache=prefix_cache)

    return make


def generated(folder, prompt, tokens):
    """What the library's own generate() says."""
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    inputs = tokenizer(prompt, return_tensors="pt")
    with torch.inference_mode():
        made = model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    return tokenizer.decode(made[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def ask(key, data, tokens=6, **settings):
    return Ask(key, data, settings={"max_new_tokens": tokens, "do_sample": False, **settings})


@pytest.mark.parametrize("name", ["llama-chat", "qwen-chat", "gpt2"])
def test_a_beginning_is_read_once_and_answers_are_those_of_generate(engine_of, checkpoint, name):
    engine = engine_of(name)
    given, length = Given(engine), lambda text: len(engine.predictor.runner.tokenizer(text)["input_ids"])
    prompts = [SYSTEM + question for question in QUESTIONS]
    first = given.during(engine, ask(0, prompts[0]))
    assert length(prompts[0]) <= first <= length(prompts[0]) + 5
    for key, prompt in enumerate(prompts[1:], 1):
        more = given.during(engine, ask(key, prompt))
        assert more <= length(prompt) - length(SYSTEM) + 2 + 5  # where a word ends, tokens may part earlier
    assert given.during(engine, ask(9, prompts[1])) <= 1 + 5
    for key, prompt in [*enumerate(prompts), (9, prompts[1])]:
        assert engine.told.answers[key][0] == [generated(checkpoint(name), prompt, 6)]
    assert engine.counters.reused >= 3 * length(SYSTEM) - 6
    assert 0 < engine.counters.kept <= MANY


def test_prompts_that_begin_alike_join_a_batch_of_others_and_each_other(engine_of, checkpoint):
    engine = engine_of("llama-chat")
    given = Given(engine)
    given.during(engine, ask(0, SYSTEM + "first"))
    prompts = ["something else that is rather long , and begins in another way than all of the others do"]
    prompts += [SYSTEM + question for question in QUESTIONS] + ["short"]
    engine.submit(ask(1, prompts[0], tokens=20))
    engine.step()
    for key, prompt in enumerate(prompts[1:], 2):
        engine.submit(ask(key, prompt))
    engine.submit(ask(7, SYSTEM + "and now ?", do_sample=True, num_return_sequences=2, seed=3))
    drained(engine)
    for key, prompt in enumerate(prompts, 1):
        assert engine.told.answers[key][0] == [generated(checkpoint("llama-chat"), prompt, 20 if key == 1 else 6)]
    plain = engine_of("llama-chat", prefix_cache=0)
    plain.submit(ask(7, SYSTEM + "and now ?", do_sample=True, num_return_sequences=2, seed=3))
    drained(plain)
    assert engine.told.answers[7][0] == plain.told.answers[7][0]


def test_a_conversation_that_goes_on_is_read_from_where_it_stood(engine_of):
    engine = engine_of("llama-chat", task="llm/v1/chat")
    given = Given(engine)
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": "hello , who are you ?"}]
    request = {"messages": messages, "max_tokens": 4, "temperature": 0}
    whole = given.during(engine, Ask(0, request))
    answered = engine.told.answers[0][0]["choices"][0]["message"]["content"]
    more = [*messages, {"role": "assistant", "content": answered}, {"role": "user", "content": "why ?"}]
    assert given.during(engine, Ask(1, {**request, "messages": more})) < whole
    assert engine.told.answers[1][0]["choices"] == engine.predictor.predict({**request, "messages": more})["choices"]
    usage = engine.told.answers[1][0]["usage"]
    assert usage["prompt_tokens"] > engine.counters.reused > 0


CHANGES = {
    "nothing is kept": {},
    "angles depend on the length": {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}},
    "a window": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "sliding_window": 8},
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_is_reused_where_it_may_not_be_or_a_beginning_depends_on_what_follows(own_copy, build, change):
    folder = own_copy("llama-chat")
    config = folder / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **CHANGES[change]}), encoding="utf-8")
    predictor = hfspec.load(build(folder, "text-generation", model_config={"return_full_text": False}))
    engine = Engine(predictor, Recorder(), prefix_cache=MANY if CHANGES[change] else 0)
    for key, question in enumerate(QUESTIONS):
        engine.submit(ask(key, SYSTEM + question))
        drained(engine)
        assert engine.told.answers[key][0] == [generated(folder, SYSTEM + question, 6)]
    assert engine.counters.reused == engine.counters.kept == 0


def test_no_more_is_kept_than_is_allowed(engine_of):
    engine = engine_of("llama-chat", prefix_cache=20_000)
    for key in range(40):
        engine.submit(ask(key, f"{key * 7919} {SYSTEM} {key}", tokens=1))
        drained(engine)
        assert engine.counters.kept <= 20_000
    prefixes = engine._prompts.prefixes
    assert prefixes.size == sum(part.nbytes for node in nodes(prefixes._top) for pair in node.layers for part in pair)


def nodes(top):
    for node in top.below.values():
        yield node
        yield from nodes(node)


def test_the_server_counts_what_it_reused_and_keeps_for_every_protocol(served):
    before = served.meter("hfspec_reused_total")
    for question in QUESTIONS:
        messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
        body = {"model": "assistant", "messages": messages, "max_tokens": 2}
        assert served.post("/v1/chat/completions", body).status_code == 200
    assert eventually(lambda: served.meter("hfspec_reused_total") >= before + 2 * 16)
    assert 0 < served.meter("hfspec_prefix_bytes") <= 2 * (64 << 20)
