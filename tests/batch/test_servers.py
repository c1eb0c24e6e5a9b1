"""Inputs and outputs at servers that refuse, break off or are away: what is told, with which exit code."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hfspec.cli.exit_codes import exit_code
from hfspec.errors import HfspecError, StorageError

pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
pytest.importorskip("aiohttp", reason="fsspec reads http:// by aiohttp, which is not installed")

from hfspec.batch.finding import find
from hfspec.batch.places import Folder, place
from hfspec.batch.rows import InputRows
from hfspec.batch.spans import Sizes

LINES = b"".join(json.dumps({"text": f"row {number}"}).encode() + b"\n" for number in range(100))
S3_FAULTS = {"keys": (403, "InvalidAccessKeyId"), "region": (301, "PermanentRedirect"), "bucket": (404, "NoSuchBucket")}


class Server(BaseHTTPRequestHandler):
    """Answers a path by what it names: a status, a fault of S3's, ``cut`` or ``good``."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        name = self.path.strip("/").partition("/")[0].partition(".")[0]
        status, data = int(name) if name.isdigit() else 200, LINES
        if name in S3_FAULTS:
            status, code = S3_FAULTS[name]
            data = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
        self.send_response(status)
        self.send_header("x-amz-bucket-region", "eu-west-1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: 500 if name == "cut" else None])
        self.close_connection = name == "cut"

    do_HEAD = do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        """Be silent."""


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def nobody() -> str:
    """An address at which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def texts(given: str, sizes: Sizes | None = None) -> list[str]:
    rows = InputRows(find([given]), sizes or Sizes())
    return [text for part in rows.parts() for each in rows.read(part) for text in each.table.column("text").to_pylist()]


def told(given: str, sizes: Sizes | None = None) -> tuple[int, str]:
    """The exit code and the message of a place that cannot be read."""
    with pytest.raises(HfspecError) as caught:
        texts(given, sizes)
    return exit_code(caught.value), str(caught.value)


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        *((f"{status}.jsonl", 3, f"the server answers {status} {HTTPStatus(status).phrase}") for status in (401, 403)),
        ("500.jsonl", 3, "the server answers 500 Internal Server Error; check the address, the network, and the keys"),
        ("404.jsonl", 2, "404.jsonl does not exist"),
        ("cut.jsonl", 3, "payload is not completed"),
    ],
)
def test_what_a_web_server_does_not_give(address: str, path: str, code: int, said: str) -> None:
    found = told(f"http://{address}/{path}")
    assert found[0] == code
    assert found[1].startswith(f"http://{address}/{path}")
    assert said in found[1]


def test_a_web_server_that_gives_no_pieces(address: str) -> None:
    assert texts(f"http://{address}/good.jsonl") == [f"row {number}" for number in range(100)]
    assert "whole files alone" in told(f"http://{address}/good.jsonl", Sizes(9, 300))[1]


def test_a_place_of_fsspec_travels(address: str) -> None:
    at = place(f"http://{address}/good.jsonl")
    there = pickle.loads(pickle.dumps(at))
    assert there.system == at.system
    assert there.info.size == len(LINES)


@pytest.mark.parametrize("scheme", ["http", "https", "ftp"])
def test_a_server_that_is_away(nobody: str, scheme: str) -> None:
    code, said = told(f"{scheme}://{nobody}/rows.jsonl")
    assert code == 3
    assert said.startswith(f"{scheme}://{nobody}/rows.jsonl: ")
    assert "check the address" in said


def test_the_hub_offline_and_a_name_it_cannot_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "offline mode is enabled" in told("hf://datasets/some/rows/x.parquet")[1]
    code, said = told("hf://x.parquet")
    assert (code, "hf://x.parquet: Repository id must be" in said) == (3, True)


def test_what_fsspec_cannot_open(tmp_path: Path) -> None:
    (tmp_path / "rows.zip").write_bytes(b"no archive")
    code, said = told(f"zip://rows.csv::{tmp_path}/rows.zip")
    assert (code, "File is not a zip file; check the URL" in said) == (2, True)
    assert told(f"zip://rows.csv::{tmp_path}/nowhere.zip")[0] == 3


@pytest.mark.parametrize(
    ("bucket", "said"), [("keys", "ACCESS_DENIED"), ("region", "the bucket is located in 'eu-west-1'")]
)
def test_an_object_store_that_refuses(address: str, monkeypatch: pytest.MonkeyPatch, bucket: str, said: str) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": "some",
        "AWS_SECRET_ACCESS_KEY": "other",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    found = told(f"s3://{bucket}/rows.jsonl")
    assert found[0] == 3
    assert found[1].startswith(f"s3://{bucket}/rows.jsonl: ")
    assert said in found[1]
    assert "keys or region" in found[1]
    with pytest.raises(StorageError, match=f"s3://{bucket}/out/part-0"):
        Folder(place(f"s3://{bucket}/out")).put("part-0", lambda stream: stream.write(b"x") and None)
