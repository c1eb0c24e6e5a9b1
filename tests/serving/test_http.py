"""HTTP as clients use it: compressed bodies, other encodings, slashes, old versions, and errors in the form of who is
asked.
"""

from __future__ import annotations

import gzip
import json
import socket
import zlib

import pytest
import requests

from tests.runtime.chats import HELLO

PREDICT = "/models/sentiment/predict"
ROWS = {"inputs": ["a fine film"]}
TEXT = json.dumps(ROWS).encode()
EMBED = json.dumps({"model": "embedder", "input": "a"}).encode()


@pytest.fixture(scope="module")
def truth(served):
    return served.post(PREDICT, ROWS).json()


def sent(served, path, body, **headers):
    return requests.post(
        served.url + path, data=body, headers={"content-type": "application/json", **headers}, timeout=60
    )


def raw(served, text):
    """What the server says until it closes the connection, or the answer is whole."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(text)
        found = b""
        while part := connection.recv(1 << 16):
            found += part
    return found


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("GZIP ", gzip.compress(TEXT)),
        ("deflate", zlib.compress(TEXT)),
        ("identity", TEXT),
        ("", TEXT),
    ],
    ids=["gzip", "capitals", "deflate", "identity", "none"],
)
def test_a_compressed_body_is_read(served, truth, encoding, body):
    assert sent(served, PREDICT, body, **{"content-encoding": encoding}).json() == truth


@pytest.mark.parametrize(
    ("encoding", "body", "status", "part"),
    [
        ("gzip", TEXT, 400, "not gzip"),
        ("gzip", gzip.compress(TEXT)[:-9], 400, "not gzip"),
        ("gzip", gzip.compress(TEXT) + b"more", 400, "not gzip"),
        ("gzip", b"", 400, "not gzip"),
        ("deflate", TEXT, 400, "not deflate"),
        ("br", TEXT, 415, "gzip or deflate"),
        ("gzip, gzip", gzip.compress(gzip.compress(TEXT)), 415, "gzip or deflate"),
        ("gzip", gzip.compress(b" " * (65 << 20)), 413, "larger"),
    ],
    ids=["not gzip", "cut off", "more behind it", "empty", "not deflate", "br", "twice", "too large"],
)
def test_a_body_that_is_not_compressed_as_it_says_is_refused(served, encoding, body, status, part):
    for path in (PREDICT, "/v1/embeddings", "/v2/models/sentiment/infer", "/invocations?model=sentiment"):
        answered = sent(served, path, body, **{"content-encoding": encoding})
        assert (answered.status_code, part in answered.text) == (status, True), answered.text


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
def test_json_is_read_in_utf8_alone_with_or_without_its_mark(served, encoding):
    text = json.dumps({"inputs": ["é"]}, ensure_ascii=False)
    for path in (PREDICT, "/v1/embeddings", "/v2/models/sentiment/infer"):
        answered = sent(served, path, text.encode(encoding))
        assert (answered.status_code, "not in UTF-8" in answered.text) == (400, True)
    assert sent(served, PREDICT, text.encode("utf-8-sig")).json() == sent(served, PREDICT, text.encode()).json()


def test_a_slash_at_the_end_of_an_address_makes_no_difference(served, truth):
    assert sent(served, f"{PREDICT}/", TEXT).json() == truth
    for path in ("/v1/models", "/v2", "/models/sentiment", "/live"):
        assert served.get(f"{path}/").json() == served.get(path).json()
    assert served.get("/models//").status_code == 404


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/responses", "openai"),
        ("/v1/models/a/b", "openai"),
        ("/v1/rerank/more", "cohere"),
        ("/v2/nothing", "v2"),
        ("/v2/models/sentiment/versions/1/nothing", "v2"),
        ("/nothing", "hfspec"),
        ("//nothing", "hfspec"),
        ("/models/sentiment/nothing", "hfspec"),
    ],
)
def test_what_is_not_there_is_told_in_the_form_of_its_protocol(served, path, form):
    answered = served.post(path, {})
    said = answered.json()
    assert answered.status_code == 404
    if form == "openai":
        assert set(said["error"]) == {"message", "type", "param", "code"}
    elif form == "hfspec":
        assert set(said["error"]) == {"kind", "message", "request_id"}
    elif form == "v2":
        assert isinstance(said["error"], str)
    else:
        assert isinstance(said["message"], str)


def test_another_method_is_told_in_the_form_of_the_protocol_with_those_that_there_are(served):
    deleted = requests.delete(served.url + "/v1/models/embedder", timeout=60)
    assert (deleted.status_code, deleted.headers["allow"]) == (405, "GET")
    assert deleted.json()["error"]["type"] == "invalid_request_error"
    assert isinstance(requests.put(served.url + "/v2/models/sentiment/infer", timeout=60).json()["error"], str)
    assert requests.options(served.url + PREDICT, timeout=60).headers["allow"] == "POST"


def test_a_long_address_is_refused_or_told_of_in_short(served):
    assert len(served.get("/" + "a" * 5000).text) < 500
    assert served.get("/" + "a" * 40_000).status_code == 431


def test_a_client_of_http_1_0_gets_a_stream_whole(served):
    body = json.dumps({"model": "assistant", "messages": HELLO, "max_tokens": 3, "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    answered, _, events = raw(served, head.encode() + body).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in answered.lower()
    assert events.startswith(b"data: {")
    assert events.endswith(b"data: [DONE]\n\n")
    assert f"content-length: {len(events)}".encode() in answered.lower()


@pytest.mark.parametrize("more", ["", "x-request-timeout: 30\r\n", "content-encoding: gzip\r\n"])
def test_a_connection_goes_on_after_an_error(served, truth, more):
    wrong = f"POST {PREDICT} HTTP/1.1\r\nhost: a\r\n{more}content-length: 3\r\n\r\n{{]}}".encode()
    right = f"POST {PREDICT} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {len(TEXT)}\r\n\r\n".encode()
    said = raw(served, wrong + right + TEXT)
    assert said.startswith(b"HTTP/1.1 400")
    assert json.loads(said.rpartition(b"\r\n\r\n")[2]) == truth
