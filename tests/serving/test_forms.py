"""hfspec's own protocol with a form: files as they are, no base64."""

from __future__ import annotations

import pytest
import requests

import hfspec
from tests.runtime.images import file_of, picture

PICTURE = file_of(picture(5))


def sent(served, name, status, **parts):
    answer = requests.post(f"{served.url}/models/{name}/predict", files=parts, timeout=60)
    assert answer.status_code == status, answer.text
    return answer.json()["predictions"] if status == 200 else answer.json()["error"]["message"]


def test_a_file_is_a_row(served):
    wanted = hfspec.load(served.artifacts["vit"]).predict([PICTURE])
    assert sent(served, "vit", 200, image=("a.png", PICTURE))[0]["label"] == wanted["label"][0]
    full = sent(served, "vit", 200, image=("a.png", PICTURE), outputs=(None, "full"))
    assert set(full[0]) >= {"labels", "scores"}


def test_texts_and_structures_are_fields(served):
    wanted = hfspec.load(served.artifacts["sentiment"]).predict([{"text": "12", "text_pair": "bad"}])
    found = sent(served, "sentiment", 200, text=(None, "12"), text_pair=(None, "bad"))
    assert found[0]["label"] == wanted["label"][0]
    assert found[0]["score"] == pytest.approx(wanted["score"][0], abs=1e-5)
    (reply,) = sent(served, "assistant", 200, messages=(None, "hello"), max_tokens=(None, "2"))
    assert reply["usage"]["completion_tokens"] <= 2


@pytest.mark.parametrize(
    ("name", "parts", "said"),
    [
        ("vit", {"picture": ("a.png", PICTURE)}, "picture"),
        ("vit", {"image": ("a.png", b"this is a text and no picture")}, "image"),
        ("vit", {"outputs": (None, "full")}, "image"),
        ("vit", {"image": (None, "/etc/passwd")}, "base64 text"),
        ("vit", {"image": ("a.png", b"")}, "empty"),
        ("sentiment", {"text": (None, "a"), "params": (None, "[1]")}, "params"),
        ("sentiment", {"text": (None, "a"), "params": (None, '{"top_q": 1}')}, "top_q"),
        ("sentiment", {"text": (None, "a"), "outputs": (None, "some")}, "outputs"),
        ("assistant", {"messages": (None, "a"), "max_tokens": (None, "many")}, "max_tokens"),
    ],
)
def test_what_is_no_row_is_refused(served, name, parts, said):
    assert said in sent(served, name, 400, **parts)


def test_a_field_that_is_given_twice_is_refused(served):
    parts = [("text", (None, "a")), ("text", (None, "b"))]
    answer = requests.post(f"{served.url}/models/sentiment/predict", files=parts, timeout=60)
    assert answer.status_code == 400
    assert "twice" in answer.json()["error"]["message"]
