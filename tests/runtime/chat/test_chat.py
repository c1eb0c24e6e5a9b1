"""Chat completions: what the model says when called directly, in the OpenAI API's objects."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import zip_longest

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

import hfspec
from hfspec.errors import InputError, ParamsError
from hfspec.runtime.chat.chat import Chat
from hfspec.runtime.chat.openai_objects import World
from hfspec.runtime.command import main
from tests.runtime.chats import CHATS, HELLO, TOOL, answer, ends_of, loaded, prompt_ids, said, text_of

REQUEST = {"messages": HELLO, "max_tokens": 5}


@pytest.fixture
def chat(build, checkpoint):
    def load(name="llama-chat", **keys):
        return hfspec.load(build(checkpoint(name), "llm/v1/chat", **keys))

    return load


def content(completion, choice=0):
    return completion["choices"][choice]["message"]["content"]


def test_a_request_gets_one_object_that_openai_accepts(chat, checkpoint):
    predictor = chat()
    made = predictor.predict({**REQUEST, "model": "anything", "user": "u"})
    assert json.loads(json.dumps(made)) == made
    parsed = ChatCompletion.model_validate(made, strict=True)
    assert parsed.choices[0].message.content == answer(checkpoint("llama-chat"), HELLO, 5)
    assert parsed.choices[0].message.role == "assistant"
    assert parsed.choices[0].finish_reason == "length"
    assert parsed.model == predictor.manifest.name
    prompt = len(prompt_ids(checkpoint("llama-chat"), HELLO))
    assert parsed.usage.to_dict() == {"prompt_tokens": prompt, "completion_tokens": 5, "total_tokens": prompt + 5}


def test_time_and_identity_come_from_the_world_given(chat):
    runner = Chat(chat()._runner.request, World(clock=lambda: 1234.9, identity=lambda: "x"))
    predictor = chat()
    predictor._runner = runner
    made = predictor.predict(REQUEST)
    assert (made["id"], made["created"]) == ("chatcmpl-x", 1234)
    assert chat().predict(REQUEST)["id"] != chat().predict(REQUEST)["id"]


@pytest.mark.parametrize("name", ["llama-chat", "qwen-chat", "phi3-chat"])
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_each_request_gets_what_its_own_keys_ask_for(chat, checkpoint, name, batch_tokens):
    requests = [
        {"messages": messages, **own}
        for messages in CHATS
        for own in ({}, {"max_tokens": 3}, {"max_completion_tokens": 7}, {"temperature": 0, "max_tokens": 9})
    ]
    random.Random(3).shuffle(requests)
    answers = chat(name, model_config={"batch_tokens": batch_tokens}).predict(requests)
    for request, made in zip(requests, answers, strict=True):
        count = request.get("max_tokens", request.get("max_completion_tokens", 12))
        ids = said(checkpoint(name), prompt_ids(checkpoint(name), request["messages"]), count)
        assert content(made) == text_of(checkpoint(name), ids)
        assert made["usage"]["completion_tokens"] == len(ids) <= count
        assert made["choices"][0]["finish_reason"] == ("stop" if ids[-1] in ends_of(checkpoint(name)) else "length")


def test_five_tokens_are_five_and_not_an_end(chat):
    for name in ("llama-chat", "qwen-chat", "phi3-chat"):
        made = chat(name).predict([{**REQUEST, "max_tokens": count} for count in (1, 5, 6)])
        assert [one["usage"]["completion_tokens"] for one in made] == [1, 5, 6]
        assert {one["choices"][0]["finish_reason"] for one in made} == {"length"}


def test_the_token_that_ends_an_answer_is_counted(chat, checkpoint):
    folder = checkpoint("llama-chat")
    ids = said(folder, prompt_ids(folder, HELLO))
    place = next(place for place, token in enumerate(ids) if token not in ids[:place] and place >= 2)
    made = chat(model_config={"eos_token_id": ids[place]}).predict(
        [REQUEST | {"max_tokens": 12}, {"messages": CHATS[1]}]
    )
    assert made[0]["usage"]["completion_tokens"] == place + 1
    assert made[0]["choices"][0]["finish_reason"] == "stop"


def stops_in(text):
    """Every part of the text, up to five characters long, that is whole characters."""
    parts = {text[at : at + size] for at in range(len(text)) for size in (1, 2, 3, 5)}
    return sorted(part for part in parts if "�" not in part)


@pytest.mark.parametrize("name", ["llama-chat", "qwen-chat"])
def test_any_text_stops_the_answer_and_is_cut_from_it(chat, checkpoint, name):
    folder = checkpoint(name)
    ids = said(folder, prompt_ids(folder, CHATS[1]), 20)
    free = text_of(folder, ids)
    stops = stops_in(free)
    tokens = [text_of(folder, [token]) for token in ids]
    assert any(stop not in token for stop in stops for token in tokens if len(stop) > 1)
    made = chat(name).predict([{"messages": CHATS[1], "max_tokens": 20, "stop": stop} for stop in stops])
    for stop, one in zip(stops, made, strict=True):
        assert content(one) == free[: free.index(stop)]
        assert one["choices"][0]["finish_reason"] == "stop"
        first = next(count for count in range(1, 21) if stop in text_of(folder, ids[:count]))
        assert one["usage"]["completion_tokens"] == first


def test_of_several_stops_the_first_to_be_said_counts(chat, checkpoint):
    free = answer(checkpoint("llama-chat"), CHATS[1], 20)
    whole = [stop for stop in stops_in(free) if len(stop) == 2]
    pairs = [(one, two) for one in whole for two in whole if free.index(one) + 2 < free.index(two) - 1][:6]
    assert pairs
    for one, two in pairs:
        request = {"messages": CHATS[1], "max_tokens": 20, "stop": [two, one, "never said", ""]}
        assert content(chat().predict(request)) == free[: free.index(one)]
    untouched = chat().predict({"messages": CHATS[1], "max_tokens": 20, "stop": ["never said"]})
    assert (content(untouched), untouched["choices"][0]["finish_reason"]) == (free, "length")


def test_a_special_token_stops_too(chat, checkpoint):
    words = loaded(checkpoint("phi3-chat"))[1]
    user = words.convert_tokens_to_ids("<|user|>")
    others = [token for token in range(len(words)) if token != user]
    predictor = chat("phi3-chat", model_config={"suppress_tokens": others, "max_tokens": 4})
    free, stopped = predictor.predict([{"messages": HELLO}, {"messages": HELLO, "stop": ["<|user|>"]}])
    assert (content(free), free["usage"]["completion_tokens"]) == ("", 4)
    assert (content(stopped), stopped["usage"]["completion_tokens"]) == ("", 1)
    assert stopped["choices"][0]["finish_reason"] == "stop"


def test_choices_are_sampled_each_from_its_own_seed(chat, checkpoint):
    request = {"messages": HELLO, "n": 3, "seed": 7, "temperature": 1.3, "max_tokens": 8}
    predictor = chat()
    made = predictor.predict(request)
    ChatCompletion.model_validate(made, strict=True)
    texts = [content(made, place) for place in range(3)]
    assert [choice["index"] for choice in made["choices"]] == [0, 1, 2]
    assert texts == [answer(checkpoint("llama-chat"), HELLO, 8, seed=7 + place, temperature=1.3) for place in range(3)]
    assert len(set(texts)) == 3
    assert made["usage"]["prompt_tokens"] == len(prompt_ids(checkpoint("llama-chat"), HELLO))
    alone = [predictor.predict({**request, "n": 1, "seed": 7 + place}) for place in range(3)]
    assert [content(one) for one in alone] == texts
    among = predictor.predict([{"messages": CHATS[1]}, request, {**request, "temperature": 0}])
    assert [content(among[1], place) for place in range(3)] == texts
    greedy = answer(checkpoint("llama-chat"), HELLO, 8)
    assert [content(among[2], place) for place in range(3)] == [greedy] * 3


def test_two_choices_without_a_temperature_are_sampled(chat):
    made = chat().predict({"messages": HELLO, "n": 4, "max_tokens": 10})
    assert len({content(made, place) for place in range(4)}) > 1
    assert made["usage"]["completion_tokens"] == 40


def penalised(folder, messages, count, frequency, presence):
    """Greedy tokens by the API's own formula."""
    import torch

    model, _ = loaded(folder)
    ids = prompt_ids(folder, messages)
    made: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            logits = model(torch.tensor([ids + made])).logits[0, -1]
        for token in set(made):
            logits[token] -= made.count(token) * frequency + presence
        made.append(int(logits.argmax()))
    return made


@pytest.mark.parametrize(("frequency", "presence"), [(1.5, 0.0), (0.0, 2.0), (0.7, 0.9), (-1.0, 0.0)])
def test_penalties_are_those_of_the_api(chat, checkpoint, frequency, presence):
    requests = [
        {"messages": messages, "max_tokens": 12, "frequency_penalty": frequency, "presence_penalty": presence}
        for messages in CHATS[:3]
    ]
    made = chat("dialogpt").predict(requests)
    folder = checkpoint("dialogpt")
    truth = [penalised(folder, messages, 12, frequency, presence) for messages in CHATS[:3]]
    assert [content(one) for one in made] == [text_of(folder, ids) for ids in truth]
    free = [said(folder, prompt_ids(folder, messages)) for messages in CHATS[:3]]
    assert any(ids != other for ids, other in zip(truth, free, strict=True))


def streamed(predictor, request):
    """The chunks of a streamed answer, each accepted by the official types; the text of each choice."""
    chunks = list(predictor.predict({**request, "stream": True}))
    parsed = [ChatCompletionChunk.model_validate(json.loads(json.dumps(chunk))) for chunk in chunks]
    texts: dict[int, str] = {}
    for chunk in parsed:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
    assert len({(chunk.id, chunk.created) for chunk in parsed}) == 1
    return parsed, [texts[place] for place in sorted(texts)]


@pytest.mark.parametrize("name", ["llama-chat", "qwen-chat", "phi3-chat"])
@pytest.mark.parametrize("messages", CHATS[:3])
def test_pieces_of_a_stream_make_up_the_answer(chat, name, messages):
    predictor = chat(name)
    request = {"messages": messages, "max_tokens": 30}
    whole = predictor.predict(request)
    for stop in [None, *stops_in(content(whole))[::7]]:
        mine = {**request, "stop": stop}
        truth = predictor.predict(mine)
        chunks, texts = streamed(predictor, mine)
        assert texts == [content(truth)]
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1].choices[0].finish_reason == truth["choices"][0]["finish_reason"]
        assert all(chunk.usage is None for chunk in chunks)


def test_a_stream_of_choices_with_its_usage_last(chat):
    predictor = chat()
    request = {**REQUEST, "n": 2, "seed": 3, "temperature": 1.2, "max_tokens": 9}
    truth = predictor.predict(request)
    chunks, texts = streamed(predictor, {**request, "stream_options": {"include_usage": True}})
    assert texts == [content(truth, 0), content(truth, 1)]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.to_dict() == truth["usage"]
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_streams_read_in_turns_are_each_what_they_would_be_alone(chat):
    predictor = chat()
    request = {"messages": HELLO, "max_tokens": 20, "temperature": 1.2}
    requests = [{**request, "seed": seed} for seed in (1, 2)] + [request]
    alone = [content(predictor.predict(one)) for one in requests[:2]]
    streams = [predictor.predict({**one, "stream": True}) for one in requests]
    texts = ["", "", ""]
    for chunks in zip_longest(*streams):
        for place, chunk in enumerate(chunks):
            texts[place] += chunk["choices"][0]["delta"].get("content", "") if chunk else ""
        assert content(predictor.predict(requests[0])) == alone[0]
    assert texts[:2] == alone


def test_a_stream_that_nobody_reads_on_ends_the_model_too(chat):
    predictor = chat()
    steps = []
    forward = predictor._runner.model.forward
    predictor._runner.model.forward = lambda *args, **kwargs: (steps.append(1), forward(*args, **kwargs))[1]
    chunks = predictor.predict({"messages": HELLO, "max_tokens": 200, "stream": True})
    assert next(chunks)["choices"][0]["delta"]["role"] == "assistant"
    next(chunks)
    chunks.close()
    taken = len(steps)
    assert taken < 200
    assert content(predictor.predict(REQUEST))
    assert len(steps) == taken + 5


def test_a_stream_that_fails_raises_what_the_model_raised(chat):
    predictor = chat()

    def broken(**inputs):
        raise RuntimeError("out of memory")

    predictor._runner.model.generate = broken
    chunks = predictor.predict({**REQUEST, "stream": True})
    with pytest.raises(RuntimeError, match="out of memory"):
        list(chunks)


def test_the_command_prints_an_object_or_a_chunk_a_line(build, checkpoint, tmp_path, capsysbinary):
    folder = build(checkpoint("llama-chat"), "llm/v1/chat")
    file = tmp_path / "request.json"
    file.write_text(json.dumps(REQUEST), encoding="utf-8")
    assert main(folder, ["--json", str(file)]) == 0
    whole = content(json.loads(capsysbinary.readouterr().out))
    assert whole == answer(checkpoint("llama-chat"), HELLO, 5)
    file.write_text(json.dumps({**REQUEST, "stream": True}), encoding="utf-8")
    assert main(folder, ["--json", str(file)]) == 0
    lines = capsysbinary.readouterr().out.decode().splitlines()
    assert "".join(json.loads(line)["choices"][0]["delta"].get("content", "") for line in lines) == whole


def test_a_reader_that_leaves_ends_the_command(build, checkpoint, tmp_path):
    folder = build(checkpoint("llama-chat"), "llm/v1/chat")
    file = tmp_path / "request.json"
    file.write_text(json.dumps({**REQUEST, "max_tokens": 60, "stream": True}), encoding="utf-8")
    command = [sys.executable, str(folder / "predictor.py"), "--json", str(file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert json.loads(process.stdout.readline())["object"] == "chat.completion.chunk"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_every_form_of_input(chat, checkpoint):
    import pandas as pd

    predictor = chat(model_config={"max_tokens": 4})
    truth = answer(checkpoint("llama-chat"), HELLO, 4)
    other = answer(checkpoint("llama-chat"), CHATS[1], 2)
    assert content(predictor.predict("hello")) == content(predictor.predict(HELLO)) == truth
    assert [content(one) for one in predictor.predict([{"messages": HELLO}])] == [truth]
    frame = pd.DataFrame({"messages": [HELLO, CHATS[1]], "max_tokens": [None, 2]})
    assert [content(one) for one in predictor.predict(frame)] == [truth, other]
    assert [content(one) for one in predictor.predict(pd.Series([HELLO, "hello"]))] == [truth, truth]
    assert [content(one) for one in predictor.predict(["hello", CHATS[1]])] == [
        truth,
        answer(checkpoint("llama-chat"), CHATS[1], 4),
    ]
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


def test_full_output_is_a_dict_a_choice(chat, checkpoint):
    predictor = chat()
    rows = predictor.predict([REQUEST, {"messages": CHATS[1], "n": 2, "temperature": 0}], outputs="full")
    assert [(row["request"], row["index"]) for row in rows] == [(0, 0), (1, 0), (1, 1)]
    assert rows[0]["text"] == answer(checkpoint("llama-chat"), HELLO, 5)
    assert rows[0]["prompt"].startswith("<s><|user|>\nhello")
    assert predictor.predict({**REQUEST, "stream": True}, outputs="full") == rows[:1]


def test_tools_reach_a_template_that_takes_them(chat, checkpoint):
    folder = checkpoint("qwen-chat")
    called = {"id": "c", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}}
    messages = [
        *HELLO,
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ]
    predictor = chat("qwen-chat")
    made = predictor.predict({"messages": messages, "tools": [TOOL], "tool_choice": "auto"}, outputs="full")[0]
    assert '"name": "weather"' in made["prompt"]
    assert '<tool_call>weather {"city": "Paris"}</tool_call>' in made["prompt"]
    ids = loaded(folder)[1](made["prompt"], add_special_tokens=False)["input_ids"]
    assert made["text"] == text_of(folder, said(folder, ids))
    without = predictor.predict({"messages": HELLO, "tools": [TOOL], "tool_choice": "none"})
    assert content(without) == answer(folder, HELLO)
    with pytest.raises(InputError, match=r"row 0: the model's chat template takes no tools"):
        chat("llama-chat").predict({"messages": HELLO, "tools": [TOOL]})


def test_settings_lie_under_the_request(chat, checkpoint):
    folder = checkpoint("llama-chat")
    settings = {"max_tokens": 3, "temperature": 1.2, "seed": 5, "stop": ["zz"], "n": 2}
    made = chat(model_config=settings).predict({"messages": HELLO})
    assert [content(made, place) for place in range(2)] == [
        answer(folder, HELLO, 3, seed=5 + place, temperature=1.2) for place in range(2)
    ]
    made = chat(model_config=settings).predict({"messages": HELLO, "max_tokens": 6, "temperature": 0, "n": 1})
    assert content(made) == answer(folder, HELLO, 6)
    assert len(made["choices"]) == 1
    same = chat(model_config={"max_new_tokens": 4}).predict({"messages": HELLO})
    assert content(same) == answer(folder, HELLO, 4)


def test_params_lie_under_the_request_and_limit_it(chat, checkpoint):
    folder = checkpoint("llama-chat")
    params = {"max_tokens": {"type": "long", "default": 4, "minimum": 1, "maximum": 8}, "top_k": 5}
    predictor = chat(signature={"params": params})
    assert content(predictor.predict({"messages": HELLO})) == answer(folder, HELLO, 4)
    assert content(predictor.predict({"messages": HELLO}, params={"max_tokens": 2})) == answer(folder, HELLO, 2)
    both = predictor.predict({"messages": HELLO, "max_tokens": 6}, params={"max_tokens": 2})
    assert content(both) == answer(folder, HELLO, 6)
    sampled = predictor.predict({"messages": HELLO, "top_k": 3, "temperature": 1.1, "seed": 2})
    assert content(sampled) == answer(folder, HELLO, 4, seed=2, temperature=1.1, top_k=3)
    for key in ("max_tokens", "max_completion_tokens"):
        with pytest.raises(InputError, match=r"row 0: param max_tokens: expected at most 8"):
            predictor.predict({"messages": HELLO, key: 9})
    with pytest.raises(ParamsError):
        predictor.predict({"messages": HELLO}, params={"temperature": 1})


def test_the_prompt_template_goes_around_the_last_user_message(chat, checkpoint):
    predictor = chat(prompt_template="Q: {prompt} A:")
    asked = [CHATS[1][0], {"role": "user", "content": f"Q: {CHATS[1][1]['content']} A:"}]
    assert content(predictor.predict({"messages": CHATS[1], "max_tokens": 5})) == answer(
        checkpoint("llama-chat"), asked, 5
    )


BAD = [
    ({}, "row 0: the request has no messages"),
    ({"mesages": HELLO}, "no key 'mesages'.*did you mean 'messages'"),
    ({"messages": None}, "the request has no messages"),
    ({"messages": []}, "has no messages; give at least one"),
    ({"messages": HELLO, "max_tokns": 5}, "no key 'max_tokns'.*did you mean 'max_tokens'"),
    ({"messages": HELLO, "top_k": 5}, "no key 'top_k'"),
    ({"messages": HELLO, "max_tokens": 0}, "max_tokens: expected integer, at least 1; found 0"),
    ({"messages": HELLO, "max_tokens": "5"}, "max_tokens: expected integer"),
    ({"messages": HELLO, "temperature": -1}, "temperature: expected number, at least 0"),
    ({"messages": HELLO, "top_p": 0}, "top_p: expected number, above 0"),
    ({"messages": HELLO, "n": 0}, "n: expected integer, at least 1"),
    ({"messages": HELLO, "n": True}, "n: expected integer"),
    ({"messages": HELLO, "stop": 5}, "stop: expected string"),
    ({"messages": HELLO, "stop": [5]}, "stop: expected string"),
    ({"messages": HELLO, "seed": "a"}, "seed: expected integer"),
    ({"messages": HELLO, "stream": "yes"}, "stream: expected true or false"),
    ({"messages": HELLO, "stream_options": "yes"}, "stream_options: expected a mapping"),
    ({"messages": HELLO, "logprobs": True}, "logprobs is not supported"),
    ({"messages": HELLO, "response_format": {"type": "json_object"}}, "response_format is not supported"),
    ({"messages": HELLO, "logit_bias": {"5": 1}}, "logit_bias is not supported"),
    ({"messages": HELLO, "tools": "weather"}, "tools: expected a list"),
    ({"messages": HELLO, "tool_choice": "required"}, "tool_choice: the model cannot be made to call"),
    ({"messages": HELLO, "frequency_penalty": 3}, "frequency_penalty: expected number, at least -2, at most 2"),
    ([{"messages": HELLO}, {"messages": HELLO, "stream": True}], "row 1: a streamed request must come alone"),
    ([{"messages": HELLO}, 5], "row 1: expected a request"),
    (5, "expected a request"),
    (None, "expected a request"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_bad_requests_are_refused_by_row(chat, data, message):
    with pytest.raises(InputError, match=message):
        chat().predict(data)


def test_more_tokens_than_a_model_has_places_for_are_refused(chat):
    """GPT-2 learns a table of positions, where Llama's rotary ones have no end."""
    predictor = chat("dialogpt")
    with pytest.raises(InputError, match=r"the prompt has \d+ tokens and \d+ more.*lower max_tokens"):
        predictor.predict({"messages": HELLO, "max_tokens": 254})
    with pytest.raises(InputError, match=r"1000 more are asked for.*ask for at most 255 new tokens"):
        predictor.predict({"messages": HELLO, "max_tokens": 1000})


def test_keys_that_ask_for_nothing_are_taken(chat):
    plain = content(chat().predict(REQUEST))
    idle = {"logprobs": False, "logit_bias": {}, "response_format": {"type": "text"}, "stop": None, "metadata": {}}
    idle |= {"stream": False, "tools": None, "seed": None, "store": True, "parallel_tool_calls": True}
    assert content(chat().predict({**REQUEST, **idle})) == plain


def test_beams_answer_whole_but_do_not_stream(chat, checkpoint):
    predictor = chat(model_config={"num_beams": 2})
    assert content(predictor.predict(REQUEST)) == answer(checkpoint("llama-chat"), HELLO, 5, num_beams=2)
    with pytest.raises(InputError, match="beam search cannot be streamed"):
        predictor.predict({**REQUEST, "stream": True})
