"""A model that fails at one prompt of the running batch: it ends with an error, the others answer as they do alone."""

from __future__ import annotations

import json
import shutil
import threading

import openai
import pytest

import hfspec
from hfspec.serving.replica.engine import Engine
from hfspec.serving.replica.job import Ask
from tests.checkpoints.reviewed import reviewed
from tests.serving.process import Served, eventually
from tests.serving.test_engine import Recorder, drained

WORDS = ["hello", "you", "a bad day", "good", "the film", "so so", "what a day", "one more"]
MOST = 24  # tokens of an answer
CODE = """
import torch
from transformers import LlamaForCausalLM

REFUSED = {tokens}


class RefusingForCausalLM(LlamaForCausalLM):
    def forward(self, input_ids=None, **more):
        answer = super().forward(input_ids=input_ids, **more)
        if torch.isin(input_ids, torch.tensor(REFUSED)).any():
            raise RuntimeError("no kernel for this token")
        return answer
"""


@pytest.fixture(scope="module")
def plain(build, checkpoint):
    """The model that fails at nothing."""
    return hfspec.load(build(checkpoint("llama-chat"), "llm/v1/completions"))


@pytest.fixture(scope="module")
def told(plain):
    """Word -> its prompt's tokens, the answer's text, and the answer's tokens but the last one."""
    parts, answers = plain.components(), {}
    for word in WORDS:
        inputs = parts["tokenizer"](word, return_tensors="pt")
        made = parts["model"].generate(**inputs, do_sample=False, max_new_tokens=MOST)[0].tolist()
        length = inputs["input_ids"].shape[1]
        text = plain.predict(request_of(word))["choices"][0]["text"]
        answers[word] = (made[:length], text, made[length:-1])
    return answers


@pytest.fixture(scope="module")
def refused(told):
    """A token that one answer alone has, after some others, and which no prompt has; and whose answer that is."""
    for word, (_, _, tokens) in told.items():
        others = {token for other in told for token in told[other][0] + (told[other][2] if other != word else [])}
        for place, token in enumerate(tokens):
            if place >= 3 and token not in others:
                return token, word
    raise AssertionError("every answer has the tokens of another")


@pytest.fixture(scope="module")
def failing(build, checkpoint, tmp_path_factory, refused):
    """An artifact whose model fails at that token, by code of its own."""
    folder = tmp_path_factory.mktemp("failing") / "checkpoint"
    shutil.copytree(checkpoint("llama-chat"), folder)
    (folder / "modeling_refusing.py").write_text(CODE.format(tokens=[refused[0]]), encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_refusing.RefusingForCausalLM"}
    config["architectures"] = ["RefusingForCausalLM"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return build(folder, "llm/v1/completions", trust_remote_code=reviewed(folder))


def request_of(word, **more):
    return {"prompt": word, "max_tokens": MOST, "temperature": 0, **more}


@pytest.mark.parametrize("bodies", ["false", "true"])
def test_a_token_that_the_model_fails_at_ends_its_own_prompt_at_a_real_server(failing, told, refused, bodies):
    word_at_fault = refused[1]
    outcomes = {}
    overrides = [f"models.{failing.name}.trust_remote_code=true", f"server.logs.bodies={bodies}"]
    with Served(failing, overrides=overrides) as served:
        client = openai.OpenAI(base_url=served.url + "/v1", api_key="none", max_retries=0)
        assert served.get("/models").json()["models"][0]["joins_at_every_step"]

        def ask(word, streamed):
            try:
                made = client.completions.create(model=failing.name, stream=streamed, **request_of(word))
                parts = list(made) if streamed else [made]
                outcomes[word, streamed] = "".join(part.choices[0].text for part in parts)
            except openai.APIError as error:
                outcomes[word, streamed] = error

        callers = [threading.Thread(target=ask, args=pair) for pair in ((w, s) for w in WORDS for s in (False, True))]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(120)
        at_fault = [outcomes.pop((word_at_fault, streamed)) for streamed in (False, True)]
        assert all(isinstance(error, openai.APIError) for error in at_fault), at_fault
        assert "the model failed on this request" in str(at_fault[0])
        assert outcomes == {(word, streamed): told[word][1] for word, streamed in outcomes}
        assert served.said("failed: RuntimeError: ")
        (line, *_) = [line for line in served.lines if "failed: RuntimeError: " in line]
        assert "request=" in line
        assert any("no kernel for this token" in line for line in served.lines) == (bodies == "true")
        assert eventually(lambda: served.meter("hfspec_queue_rows") == 0)
        assert served.meter("hfspec_restarts_total") == 0


def test_answers_that_are_drawn_go_on_from_where_they_were(failing, plain, refused):
    engine = Engine(hfspec.load(failing, trust_remote_code=True), Recorder(), prefix_cache=1 << 20)
    drawn = {key: request_of(word, temperature=1.0, seed=key, n=2) for key, word in enumerate(WORDS)}
    wanted = {key: plain.predict(request)["choices"] for key, request in drawn.items()}
    tokenizer = plain.components()["tokenizer"]
    engine.submit(Ask(100, request_of(refused[1])))
    engine.step()
    for key, request in drawn.items():
        engine.submit(Ask(key, request))
    drained(engine)
    assert str(engine.told.errors.pop(100)) == "no kernel for this token"
    assert len(engine.told.answers) > 0
    for key, (answer, _) in engine.told.answers.items():
        assert answer["choices"] == wanted[key]
    for key in engine.told.errors:
        texts = [choice["text"] for choice in wanted[key]]
        assert any(refused[0] in tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts)
    assert engine.is_idle


def test_a_prompt_that_the_model_fails_at_lets_those_that_join_with_it_join(failing, plain, told, refused):
    tokenizer = plain.components()["tokenizer"]
    bad = tokenizer.decode([refused[0]])
    assert refused[0] in tokenizer(bad)["input_ids"]
    engine = Engine(hfspec.load(failing, trust_remote_code=True), Recorder())
    words = [word for word in WORDS if word != refused[1]]
    for key, word in enumerate(words):
        engine.submit(Ask(key, request_of(word)))
        if key in (1, 4):
            engine.submit(Ask(100 + key, request_of(bad)))
    drained(engine)
    assert {key: str(error) for key, error in engine.told.errors.items()} == dict.fromkeys(
        (101, 104), "no kernel for this token"
    )
    made = {key: answer["choices"][0]["text"] for key, (answer, _) in engine.told.answers.items()}
    assert made == {key: told[word][1] for key, word in enumerate(words)}


@pytest.mark.parametrize("part", ["processors", "criteria", "continuation"])
def test_a_part_of_a_step_that_fails_at_a_row_ends_its_prompt(plain, told, monkeypatch, part):
    """``part``: the scores' processors, the ends, or the reading of the answer."""
    word, wanted = "good", {key: told[word][1] for key, word in enumerate(WORDS)}
    first = plain.components()["tokenizer"](word)["input_ids"]
    runner = plain.runner

    def is_at_fault(ids):
        return any(line[-len(first) - 4 : -4] == first or line[-len(first) - 3 : -3] == first for line in ids.tolist())

    class Penalties:  # a name of a processor that looks at each row by itself
        def __call__(self, ids, scores):
            if is_at_fault(ids):
                raise ValueError("this row")
            return scores

    class Ends:
        def __call__(self, ids, scores, **more):
            if is_at_fault(ids):
                raise ValueError("this row")
            return ids.new_zeros(len(ids), dtype=bool)

    tools, continuation = runner.tools, runner.continuation

    def with_tools(settings, width, streamer=None):
        from transformers import LogitsProcessorList, StoppingCriteriaList

        own = tools(settings, width, streamer)
        name, kind, more = (
            ("logits_processor", LogitsProcessorList, Penalties())
            if part == "processors"
            else ("stopping_criteria", StoppingCriteriaList, Ends())
        )
        return {**own, name: kind([*own.get(name, ()), more])}

    def failing(prompt, line, config, settings):
        if prompt.text == word:
            raise ValueError("this row")
        return continuation(prompt, line, config, settings)

    if part == "continuation":
        monkeypatch.setattr(runner, "continuation", failing)
    else:
        monkeypatch.setattr(runner, "tools", with_tools)
    engine = Engine(plain, Recorder())
    for key, each in enumerate(WORDS):
        engine.submit(Ask(key, request_of(each)))
    drained(engine)
    assert {key: str(error) for key, error in engine.told.errors.items()} == {WORDS.index(word): "this row"}
    made = {key: answer["choices"][0]["text"] for key, (answer, _) in engine.told.answers.items()}
    assert made == {key: text for key, text in wanted.items() if WORDS[key] != word}
