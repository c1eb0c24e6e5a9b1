"""The OpenAI API of a running server, as the openai package asks it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
import wave as wave_files

import numpy as np
import openai
import pytest

import hfspec
from tests.runtime.chats import HELLO, answer
from tests.runtime.sounds import tone


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60) as found:
        yield found


@pytest.fixture(scope="module")
def loaded(served):
    found = {}

    def get(name):
        if name not in found:
            found[name] = hfspec.load(served.artifacts[name])
        return found[name]

    return get


def sound(seconds=1.0):
    """A wav file of a tone."""
    samples = (tone(440, seconds) * 32767).astype("<i2")
    made = io.BytesIO()
    with wave_files.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(samples.tobytes())
    return made.getvalue()


def made_tokens(served):
    """How many tokens the server's models have made."""
    lines = served.get("/metrics").text.splitlines()
    found = [line for line in lines if line.startswith("hfspec_made_total") and 'model="assistant"' in line]
    return float(found[0].split()[-1])


@pytest.mark.parametrize("model", ["assistant", "gpt-4o-mini"])
def test_a_chat_is_answered_as_the_model_answers_it(client, checkpoint, model):
    made = client.chat.completions.create(model=model, messages=HELLO, max_tokens=12, user="me", store=True)
    assert made.choices[0].message.content == answer(checkpoint("llama-chat"), HELLO)
    assert (made.object, made.model) == ("chat.completion", "assistant")
    assert made.usage.total_tokens == made.usage.prompt_tokens + made.usage.completion_tokens


def test_a_text_generation_model_answers_chats_and_completions(client, checkpoint, loaded):
    made = client.chat.completions.create(model="writer", messages=HELLO, max_tokens=12)
    assert made.choices[0].message.content == answer(checkpoint("llama-chat"), HELLO)
    text = client.completions.create(model="writer", prompt=["once", "twice upon"], max_tokens=7)
    wanted = loaded("writer").predict(["once", "twice upon"], outputs="full")
    for choice, full in zip(text.choices, wanted, strict=True):
        assert full["text"].startswith(full["prompt"] + choice.text)
    assert text.usage.completion_tokens <= 14
    assert text.usage.prompt_tokens == sum(full["prompt_tokens"] for full in wanted)


@pytest.mark.parametrize("model", ["assistant", "writer"])
def test_a_stream_makes_up_the_answer_and_tells_its_usage(client, model):
    asked = {"model": model, "messages": HELLO, "max_tokens": 9}
    whole = client.chat.completions.create(**asked)
    chunks = list(client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    said = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert said == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_streamed_completion_makes_up_the_answer(client):
    asked = {"model": "writer", "prompt": "once upon", "max_tokens": 6}
    whole = client.completions.create(**asked).choices[0].text
    chunks = list(client.completions.create(**asked, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == whole


def test_the_events_of_a_stream_end_with_done(served):
    body = {"model": "assistant", "messages": HELLO, "max_tokens": 3, "stream": True}
    answered = served.post("/v1/chat/completions", body)
    assert answered.headers["content-type"].startswith("text/event-stream")
    events = [line.removeprefix("data: ") for line in answered.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    assert {json.loads(event)["object"] for event in events[:-1]} == {"chat.completion.chunk"}


def test_a_stream_that_is_left_makes_no_further_tokens(client, served):
    before = made_tokens(served)
    stream = client.chat.completions.create(model="assistant", messages=HELLO, max_tokens=100_000, stream=True)
    next(iter(stream))
    stream.close()
    counts = [before]
    for _ in range(60):
        time.sleep(0.7)  # longer than a replica's beat
        counts.append(made_tokens(served))
        if len(counts) > 3 and len(set(counts[-3:])) == 1:
            break
    assert len(set(counts[-3:])) == 1
    assert counts[-1] - before < 50_000


def test_clients_that_ask_at_the_same_time_get_their_own_answers(served, checkpoint):
    questions = [[{"role": "user", "content": f"question {number}" * (number + 1)}] for number in range(6)]

    async def ask():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none", timeout=60) as client:
            whole = [client.chat.completions.create(model="writer", messages=one, max_tokens=8) for one in questions]
            return await asyncio.gather(*whole, streamed(client))

    async def streamed(client):
        stream = await client.chat.completions.create(model="writer", messages=HELLO, max_tokens=8, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    *made, said = asyncio.run(ask())
    folder = checkpoint("llama-chat")
    assert [one.choices[0].message.content for one in made] == [answer(folder, one, 8) for one in questions]
    assert said == answer(folder, HELLO, 8)


@pytest.mark.parametrize(
    ("asked", "param", "part"),
    [
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"temperature": "hot"}, "temperature", "number"),
        ({"temprature": 1}, "temprature", "temperature"),
        ({"messages": []}, "messages", "messages"),
        ({"messages": None}, "messages", "messages"),
        ({"messages": [{"role": "user"}]}, "messages", "content"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages", "must be text"),
        ({"logprobs": True}, "logprobs", "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format", "not supported"),
        ({"tool_choice": "required"}, "tool_choice", "auto"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "takes no tools"),
        ({"model": "embedder"}, "model", "feature-extraction"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "streams"),
        ({"n": 2, "stream": "yes"}, "stream", "true or false"),
        ({"model": 7}, "model", "name"),
        ({"messages": "x" * 10, "n": 0}, "n", "at least 1"),
    ],
)
def test_a_wrong_chat_is_refused_in_openais_form(served, asked, param, part):
    answered = served.post("/v1/chat/completions", {"model": "assistant", "messages": HELLO, **asked})
    error = answered.json()["error"]
    assert answered.status_code == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert part in error["message"]


def test_a_wrong_stream_is_refused_before_it_begins(client):
    with pytest.raises(openai.BadRequestError, match="max_tokens"):
        client.chat.completions.create(model="assistant", messages=HELLO, max_tokens=-1, stream=True)


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-5'") as caught:
        client.chat.completions.create(model="gpt-5", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="say which model"):
        client.chat.completions.create(model=None, messages=HELLO)  # type: ignore[arg-type]


def test_models_for_other_tasks_are_refused(client):
    with pytest.raises(openai.BadRequestError, match="feature-extraction"):
        client.chat.completions.create(model="embedder", messages=HELLO)
    with pytest.raises(openai.NotFoundError, match="not offered by the protocol openai"):
        client.embeddings.create(model="sentiment", input="x")
    with pytest.raises(openai.BadRequestError, match="llm/v1/chat"):
        client.completions.create(model="assistant", prompt="x")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_object_is_refused(served, body):
    answered = served.post("/v1/completions", data=body, headers={"content-type": "application/json"})
    assert answered.status_code == 400
    assert answered.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("model", ["embedder", "text-embedding-3-small"])
def test_embeddings_are_those_of_the_model(client, loaded, model):
    texts = ["a text", "another, longer text"]
    made = client.embeddings.create(model=model, input=texts)  # the client asks for base64
    wanted = loaded("embedder").predict(texts)
    assert np.array([one.embedding for one in made.data]) == pytest.approx(wanted, abs=1e-5)
    assert made.usage.prompt_tokens == sum(row["tokens"] for row in loaded("embedder").predict(texts, outputs="full"))
    plain = client.embeddings.create(model=model, input="a text", encoding_format="float")
    assert plain.data[0].embedding == pytest.approx(wanted[0], abs=1e-5)


def test_embeddings_of_fewer_dimensions(client, served, loaded):
    made = client.embeddings.create(model="embedder", input="a text", dimensions=4, encoding_format="float")
    wanted = loaded("embedder").predict("a text")[0][:4]
    assert np.array(made.data[0].embedding) == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)
    raw = served.post("/v1/embeddings", {"model": "embedder", "input": "a text", "encoding_format": "base64"}).json()
    packed = np.frombuffer(base64.b64decode(raw["data"][0]["embedding"]), "<f4")
    assert packed == pytest.approx(loaded("embedder").predict("a text")[0], abs=1e-5)


@pytest.mark.parametrize(
    ("asked", "param", "part"),
    [
        ({"input": []}, "input", "no texts"),
        ({"input": [[1, 2]]}, "input", "tokens are not taken"),
        ({"input": 7}, "input", "input"),
        ({"input": ["a", None]}, "input", "missing"),
        ({"dimensions": 10_000}, "dimensions", "at most"),
        ({"dimensions": 0}, "dimensions", "at least 1"),
        ({"encoding_format": "hex"}, "encoding_format", "base64"),
        ({"inputs": "x", "input": None}, "inputs", "input"),
        ({"input": None}, "input", "null"),
    ],
)
def test_wrong_embeddings_are_refused(served, asked, param, part):
    answered = served.post("/v1/embeddings", {"model": "embedder", "input": "a text", **asked})
    assert answered.status_code == 400
    assert answered.json()["error"]["param"] == param
    assert part in answered.json()["error"]["message"]


def test_the_models_are_listed_under_all_their_names(client, served):
    listed = {model.id for model in client.models.list()}
    assert {"assistant", "gpt-4o-mini", "writer", "embedder", "text-embedding-3-small", "whisper"} <= listed
    assert not listed & {"sentiment", "reranker", "vit"}
    assert client.models.retrieve("whisper-1").id == "whisper-1"
    for name in ("nobody", "vit"):
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve(name)
    assert served.get("/v1/models").json()["object"] == "list"


def test_a_transcript_is_that_of_the_model(client, loaded):
    sent = sound()
    (wanted,) = loaded("whisper").predict([sent], outputs="full")
    made = client.audio.transcriptions.create(model="whisper-1", file=("a.wav", sent))
    assert made.text == wanted["text"].strip()
    text = client.audio.transcriptions.create(model="whisper", file=("a.wav", sent), response_format="text")
    assert text.strip() == wanted["text"].strip()


def test_the_language_and_the_prompt_of_a_transcript_are_heeded(client, served):
    predictor = hfspec.load(served.artifacts["whisper"], model_config={"language": "de", "prompt": "a name"})
    (wanted,) = predictor.predict([sound()])
    made = client.audio.transcriptions.create(
        model="whisper", file=("a.wav", sound()), language="de", prompt="a name", temperature=0
    )
    assert made.text == wanted.strip()


def test_a_timed_transcript(client, served):
    predictor = hfspec.load(served.artifacts["whisper"], model_config={"return_timestamps": True})
    (wanted,) = predictor.predict([sound(2.0)], outputs="full")
    made = client.audio.transcriptions.create(
        model="whisper", file=("a.wav", sound(2.0)), response_format="verbose_json"
    )
    assert made.text == wanted["text"].strip()
    assert made.duration == pytest.approx(2.0)
    assert [one.text for one in made.segments] == [chunk["text"].strip() for chunk in wanted["chunks"]]
    assert [one.start for one in made.segments] == [chunk["timestamp"][0] for chunk in wanted["chunks"]]
    srt = client.audio.transcriptions.create(model="whisper", file=("a.wav", sound(2.0)), response_format="srt")
    assert not wanted["chunks"] or srt.startswith("1\n00:00:00,")
    vtt = client.audio.transcriptions.create(model="whisper", file=("a.wav", sound(2.0)), response_format="vtt")
    assert vtt.startswith("WEBVTT\n\n")


def test_a_translation_is_into_english(client, served):
    (wanted,) = hfspec.load(served.artifacts["whisper"], model_config={"task": "translate"}).predict([sound()])
    made = client.audio.translations.create(model="whisper", file=("a.wav", sound()))
    assert made.text == wanted.strip()


@pytest.mark.parametrize(
    ("fields", "param", "part"),
    [
        ({"response_format": "xml"}, "response_format", "response_format"),
        ({"temperature": "hot"}, "temperature", "temperature"),
        ({"language": "klingon"}, "language", "klingon"),
        ({"language": "e", "temperatur": "0"}, "temperatur", "temperatur"),
        ({"stream": "true"}, "stream", "stream"),
        ({"timestamp_granularities[]": "word"}, "timestamp_granularities", "verbose_json"),
        (
            {"timestamp_granularities[]": "letter", "response_format": "verbose_json"},
            "timestamp_granularities",
            "segment, word",
        ),
        ({"model": "embedder"}, "model", "feature-extraction"),
    ],
)
def test_a_wrong_transcription_is_refused(served, fields, param, part):
    data = {"model": "whisper", **fields}
    answered = served.post("/v1/audio/transcriptions", data=data, files={"file": ("a.wav", sound())})
    assert answered.status_code == 400
    assert answered.json()["error"]["param"] == param
    assert part in answered.json()["error"]["message"]


@pytest.mark.parametrize(
    ("files", "part"),
    [
        ({}, "multipart"),
        ({"sound": ("a.wav", b"x")}, "sound"),
        ({"file": ("a.wav", b"")}, "empty"),
        ({"file": ("a.wav", b"this is no sound at all, only text")}, "decoded"),
        ({"file": ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n")}, "decoded"),
    ],
)
def test_what_is_no_sound_is_refused(served, files, part):
    answered = served.post("/v1/audio/transcriptions", data={"model": "whisper"}, files=files)
    assert answered.status_code in {400, 415}
    assert part in answered.json()["error"]["message"]


def test_a_form_that_is_damaged_is_refused(served):
    kind = {"content-type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\nnonsense", b"--y\r\n\r\n--y--"):
        answered = served.post("/v1/audio/transcriptions", data=body, headers=kind)
        assert answered.status_code == 400
    answered = served.post("/v1/audio/transcriptions", data=b"x", headers={"content-type": "multipart/form-data"})
    assert answered.status_code == 400
