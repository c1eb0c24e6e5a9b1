"""The replica's engine: batches over the rows of all requests, and answers that are those of predict."""

from __future__ import annotations

import pytest

import hfspec
from hfspec.serving.replica.engine import Engine
from hfspec.serving.replica.job import Ask, Form
from tests.runtime.chats import HELLO

TEXTS = ["good", "a bad day, and a long one at that", "fine", "so so, one might say", ""]


class Recorder:
    """Keeps what the engine tells."""

    def __init__(self):
        self.answers, self.pieces, self.errors, self.left = {}, {}, {}, set()

    def answer(self, key, value, used):
        self.answers[key] = (value, used)

    def piece(self, key, value):
        self.pieces.setdefault(key, []).append(value)

    def error(self, key, error):
        self.errors[key] = error

    def has_left(self, key):
        return key in self.left


def drained(engine):
    for _ in range(10_000):
        if engine.is_idle:
            return
        engine.step()
    raise AssertionError("the engine has not come to an end")


@pytest.fixture
def engine_of(build, checkpoint):
    def make(name, task, **keys):
        return Engine(hfspec.load(build(checkpoint(name), task, **keys)), Recorder())

    return make


def test_answers_are_those_of_predict_whoever_shares_their_batch(engine_of):
    engine = engine_of("bert-sentiment", "text-classification")
    predictor = engine.predictor
    for key, text in enumerate(TEXTS):
        engine.submit(Ask(key, [text, text + " again"]))
    engine.submit(Ask(99, TEXTS, outputs="full"))
    drained(engine)
    for key, text in enumerate(TEXTS):
        made, used = engine.told.answers[key]
        wanted = predictor.predict([text, text + " again"])
        assert [row[0] for row in made.rows] == wanted["label"].tolist()
        assert [row[1] for row in made.rows] == pytest.approx(wanted["score"].tolist(), abs=1e-5)
        assert used["rows"] == 2
    assert len(engine.told.answers[99][0]) == len(predictor.predict(TEXTS, outputs="full"))


def test_rows_of_requests_with_the_same_settings_share_batches(engine_of):
    engine = engine_of("bert-sentiment", "text-classification")
    for key in range(32):
        engine.submit(Ask(key, "good"))
    drained(engine)
    assert (engine.counters.batches, engine.counters.rows) == (1, 32)


def test_a_long_request_is_worked_between_those_of_others(engine_of):
    engine = engine_of("bert-sentiment", "text-classification", model_config={"batch_tokens": 64})
    engine.submit(Ask(1, ["a long request of many rows"] * 500))
    engine.step()
    engine.submit(Ask(2, "late"))
    for _ in range(3):
        engine.step()
    assert 2 in engine.told.answers
    assert 1 not in engine.told.answers
    drained(engine)
    assert len(engine.told.answers[1][0].rows) == 500


def test_a_request_with_settings_of_its_own_is_not_passed_by_those_that_come_after_it(engine_of):
    engine = engine_of(
        "bert-sentiment",
        "text-classification",
        model_config={"batch_tokens": 64},
        signature={"params": {"top_k": {"type": "long", "default": 1}}},
    )
    engine.submit(Ask(0, ["good"] * 40))
    engine.step()
    for key in range(1, 40):
        engine.submit(Ask(key, "good"))
    engine.submit(Ask(1000, "good", {"top_k": 2}))
    for key in range(2000, 2400, 40):  # as many as a step answers, and more
        for other in range(key, key + 40):
            engine.submit(Ask(other, "good"))
        engine.step()
    assert 1000 in engine.told.answers
    drained(engine)


def test_a_wrong_row_costs_its_own_answer_where_rows_are_told_one_by_one(engine_of):
    engine = engine_of("bert-sentiment", "text-classification")
    engine.submit(Ask(1, ["good", 7, "bad"], form=Form.ROWS))
    engine.submit(Ask(2, ["good", 7, "bad"]))
    drained(engine)
    kinds = [set(piece) for piece in engine.told.pieces[1]]
    assert kinds == [{"answer"}, {"error"}, {"answer"}]
    assert engine.told.pieces[1][1]["error"]["row"] == 1
    assert engine.told.errors[2].row == 1


def test_an_unexpected_error_of_a_library_costs_its_request_alone(engine_of, monkeypatch):
    engine = engine_of("bert-sentiment", "text-classification")
    expected = engine.predictor.predict_json(TEXTS)
    prediction = engine.predictor.begin(TEXTS)
    lengths = [item.length for item in prediction.call.prepare(prediction.rows)]
    wrong = lengths.index(max(lengths))
    run = engine.predictor.runner.run

    def failing(batch, settings):
        if any(item.length == max(lengths) for item in batch):
            raise RuntimeError("no kernel for this row")
        return run(batch, settings)

    monkeypatch.setattr(engine.predictor.runner, "run", failing)
    for key, text in enumerate(TEXTS):
        engine.submit(Ask(key, text))
    drained(engine)
    assert {key: str(error) for key, error in engine.told.errors.items()} == {wrong: "no kernel for this row"}
    labels = {key: answer.rows[0][0] for key, (answer, _) in engine.told.answers.items()}
    assert labels == {key: row["label"] for key, row in enumerate(expected) if key != wrong}


def test_a_request_that_nobody_waits_for_is_dropped(engine_of):
    engine = engine_of("bert-sentiment", "text-classification", model_config={"batch_tokens": 16})
    engine.submit(Ask(1, ["good"] * 100))
    engine.submit(Ask(2, "late", deadline=engine.clock() - 1))
    engine.step()
    engine.cancel(1)
    drained(engine)
    assert engine.counters.rows < 20
    assert type(engine.told.errors[2]).__name__ == "ExpiredError"


@pytest.mark.parametrize("name", ["llama-chat", "qwen-chat", "phi3-chat"])
def test_prompts_join_and_leave_the_running_batch(engine_of, name):
    engine = engine_of(name, "llm/v1/chat")
    requests = [
        {"messages": HELLO, "max_tokens": 12},
        {
            "messages": [{"role": "user", "content": "a longer question, of many words, that comes later"}],
            "max_tokens": 3,
        },
        {"messages": HELLO, "max_tokens": 7, "temperature": 1.0, "seed": 3, "n": 2},
        {"messages": HELLO, "max_tokens": 9, "stop": ["a"]},
        {"messages": HELLO, "max_tokens": 5, "presence_penalty": 1.5},
    ]
    for key, request in enumerate(requests):
        engine.submit(Ask(key, request))
        engine.step()
        engine.step()
    drained(engine)
    assert engine.joins
    for key, request in enumerate(requests):
        wanted = engine.predictor.predict(request)
        made = engine.told.answers[key][0]
        assert made["choices"] == wanted["choices"]
        assert made["usage"] == wanted["usage"]


def test_the_steps_are_as_many_as_the_longest_answer_and_not_their_sum(engine_of):
    engine = engine_of("llama-chat", "llm/v1/chat")
    for key in range(4):
        engine.submit(Ask(key, {"messages": HELLO, "max_tokens": 20}))
        engine.step()
    drained(engine)
    assert engine.counters.batches <= 24


def test_a_prompt_that_may_go_on_for_long_keeps_no_other_out(engine_of):
    engine = engine_of("llama-chat", "text-generation", model_config={"batch_tokens": 64})
    engine.submit(Ask(1, "hello", settings={"max_new_tokens": 200, "min_new_tokens": 200}))
    engine.step()
    engine.submit(Ask(2, "you", settings={"max_new_tokens": 4}))
    for _ in range(8):
        engine.step()
    assert list(engine.told.answers) == [2]
    drained(engine)
    assert len(engine.told.answers) == 2


def test_streams_interleave_and_make_up_the_answers(engine_of):
    engine = engine_of("llama-chat", "llm/v1/chat")
    request = {"messages": HELLO, "max_tokens": 8, "stream": True, "stream_options": {"include_usage": True}}
    for key in (1, 2):
        engine.submit(Ask(key, request, form=Form.STREAM))
    drained(engine)
    wanted = engine.predictor.predict({**request, "stream": False, "stream_options": {}})
    for key in (1, 2):
        chunks = [chunk for piece in engine.told.pieces[key] for chunk in piece]
        said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        assert said == wanted["choices"][0]["message"]["content"]
        assert chunks[-1]["usage"] == wanted["usage"]
    assert engine.counters.batches <= 10


def test_a_stream_whose_caller_leaves_makes_no_further_token(engine_of):
    engine = engine_of("llama-chat", "llm/v1/chat")
    engine.submit(Ask(1, {"messages": HELLO, "max_tokens": 100, "stream": True}, form=Form.STREAM))
    for _ in range(3):
        engine.step()
    engine.cancel(1)
    drained(engine)
    assert engine.counters.made <= 4


def test_a_text_generation_model_answers_requests_of_the_openai_api_beside_its_own(engine_of):
    engine = engine_of("llama-chat", "text-generation")
    engine.submit(Ask(1, {"messages": HELLO, "max_tokens": 6}, task="llm/v1/chat"))
    engine.submit(Ask(2, {"prompt": ["hello", "you"], "max_tokens": 6}, task="llm/v1/completions"))
    engine.submit(Ask(3, "hello", settings={"max_new_tokens": 6}))
    drained(engine)
    predictor = engine.predictor
    said = engine.told.answers[1][0]["choices"][0]["message"]["content"]
    assert predictor.predict([HELLO])[0].startswith(said)
    (whole,) = engine.told.answers[3][0]
    assert whole == "hello" + engine.told.answers[2][0]["choices"][0]["text"]


@pytest.mark.parametrize(
    ("name", "task", "asked", "part"),
    [
        ("gpt2", "text-generation", "llm/v1/chat", "no chat template"),
        ("bert-sentiment", "text-classification", "llm/v1/chat", "does not answer as"),
        ("gpt2", "text-generation", "translation", "does not answer as"),
    ],
)
def test_requests_of_a_task_that_the_model_does_not_answer_are_refused(engine_of, name, task, asked, part):
    engine = engine_of(name, task)
    engine.submit(Ask(1, {"messages": HELLO}, task=asked))
    drained(engine)
    assert part in str(engine.told.errors[1])


def test_settings_of_a_protocol_are_checked(engine_of):
    engine = engine_of(
        "bert-sentiment", "text-classification", signature={"params": {"top_k": {"default": 1, "maximum": 2}}}
    )
    for key, settings in enumerate([{"top_k": 3}, {"top_k": "x"}, {"function_to_apply": "tanh"}, {"prompt": "x"}]):
        engine.submit(Ask(key, "good", settings=settings))
        assert type(engine.told.errors[key]).__name__ == "ParamsError"
    engine.submit(Ask(9, "good", settings={"function_to_apply": "none"}))
    drained(engine)
    assert 9 in engine.told.answers


def test_a_request_of_many_prompts_comes_to_its_end(engine_of):
    engine = engine_of("gpt2", "text-generation", model_config={"batch_tokens": 8, "max_new_tokens": 3})
    prompts = [f"prompt {number}" for number in range(300)]
    engine.submit(Ask(1, prompts))
    drained(engine)
    assert engine.told.answers[1][0] == engine.predictor.predict(prompts)
