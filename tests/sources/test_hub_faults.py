"""A hub that fails: what mends itself, and what is said when it does not."""

from __future__ import annotations

import pytest

from hfspec.errors import SourceError, StorageError

RESOLVE = "/resolve/.*model.safetensors"
BODY = "GET /cdn/"
API = "GET /api/"


@pytest.fixture
def quick(monkeypatch):
    """Connections count as stalled soon."""
    monkeypatch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "0.3")
    monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "0.3")


ONCE = [
    {"kind": "status", "status": 429},
    {"kind": "status", "status": 429, "retry_after": "1"},
    {"kind": "status", "status": 500},
    {"kind": "status", "status": 502},
    {"kind": "status", "status": 503, "retry_after": "0"},
    {"kind": "status", "status": 504},
    {"kind": "drop"},
    {"kind": "cut"},
    {"kind": "reset"},
    {"kind": "truncate"},
    {"kind": "stall"},
    {"kind": "stall-body"},
]


def words(fault):
    return "-".join(str(value) for value in fault.values())


@pytest.mark.parametrize("fault", ONCE, ids=words)
@pytest.mark.parametrize("place", [API, RESOLVE, BODY])
def test_passing_faults_are_overcome(place, fault, hub, opened, large, quick):
    repo, weights = large
    hub.faults.add(pattern=place, times=2 if fault["kind"] in ("cut", "drop") else 1, **fault)
    _, reader = opened(repo=repo)
    assert reader.fetch("model.safetensors").read_bytes() == weights
    assert any(request.fault == fault["kind"] for request in hub.requests)


@pytest.mark.parametrize("fault", [fault for fault in ONCE if "stall" not in fault["kind"]], ids=words)
def test_headers_survive_them_too(fault, hub, opened, large):
    repo, _ = large
    _, reader = opened(repo=repo)
    hub.faults.add(pattern=BODY, **fault)
    assert reader.header("model.safetensors").tensors[0].name == "w"
    assert len(hub.bodies("/cdn/")) == 2


def test_retry_after_is_honoured(hub, opened, large, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    hub.faults.add("status", API, status=429, retry_after="7")
    hub.faults.add("status", API, status=503, retry_after="3")
    opened(repo=large[0])
    assert waits == [7.0, 3.0]


def test_retry_after_as_a_date(hub, opened, large, monkeypatch):
    from datetime import UTC, datetime, timedelta
    from email.utils import format_datetime

    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    moment = datetime.now(UTC) + timedelta(seconds=100)
    hub.faults.add("status", API, status=429, retry_after=format_datetime(moment, usegmt=True))
    opened(repo=large[0])
    assert len(waits) == 1
    assert 50 < waits[0] <= 100


def test_an_endless_retry_after_is_not_waited_for(hub, opened, large):
    hub.faults.add("status", API, status=429, retry_after="86400")
    with pytest.raises(SourceError, match="still limits the rate of requests"):
        opened(repo=large[0])


def test_waits_grow_and_vary(hub, opened, large, monkeypatch):
    waits = []
    monkeypatch.setattr("time.sleep", waits.append)
    monkeypatch.setenv("HFSPEC_HUB_FIRST_WAIT", "1")
    hub.faults.add("status", API, status=500, times=4)
    opened(repo=large[0])
    assert [0.5 <= wait / 2**index <= 1 for index, wait in enumerate(waits)] == [True] * 4


@pytest.mark.parametrize("kind", ["cut", "reset", "truncate"])
def test_a_broken_download_goes_on_where_it_was(kind, hub, opened, large):
    repo, weights = large
    _, reader = opened(repo=repo)
    hub.faults.add(kind, BODY)
    assert reader.fetch("model.safetensors").read_bytes() == weights
    first, second = hub.bodies("/cdn/")
    assert first.range == ""
    assert second.status == 206
    start = int(second.range.removeprefix("bytes=").removesuffix("-"))
    assert 0 < start <= len(weights) // 2
    assert second.sent == len(weights) - start


def test_the_next_run_goes_on_too(hub, opened, large):
    repo, weights = large
    _, reader = opened(repo=repo)
    hub.faults.add("cut", BODY)
    hub.faults.add("status", BODY, status=500, times=8)
    with pytest.raises(SourceError, match="what was downloaded is kept"):
        reader.fetch("model.safetensors")
    hub.forget()
    _, reader = opened(repo=repo)
    assert reader.fetch("model.safetensors").read_bytes() == weights
    (request,) = hub.bodies("/cdn/")
    assert request.status == 206
    assert request.sent <= len(weights) - len(weights) // 2


def test_a_wrong_old_part_is_thrown_away(hub, opened, large, tmp_path):
    repo, weights = large
    pin, reader = opened(repo=repo)
    (file,) = [file for file in pin.files if file.path == "model.safetensors"]
    blobs = tmp_path / "hf-cache" / "models--someone--large" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{file.sha256}.incomplete").write_bytes(b"\0" * 1000)
    assert reader.fetch("model.safetensors").read_bytes() == weights


def test_an_old_part_that_is_too_long_is_thrown_away(hub, opened, large, tmp_path):
    repo, weights = large
    pin, reader = opened(repo=repo)
    (file,) = [file for file in pin.files if file.path == "model.safetensors"]
    blobs = tmp_path / "hf-cache" / "models--someone--large" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{file.sha256}.incomplete").write_bytes(b"\0" * (len(weights) + 1))
    assert reader.fetch("model.safetensors").read_bytes() == weights


def test_progress_resets_the_count_of_tries(hub, opened, large):
    repo, weights = large
    _, reader = opened(repo=repo)
    hub.faults.add("cut", BODY, times=9)
    assert reader.fetch("model.safetensors").read_bytes() == weights
    assert len(hub.bodies("/cdn/")) == 10


@pytest.mark.parametrize(("path", "pattern"), [("model.safetensors", BODY), ("config.json", "resolve/.*config.json")])
def test_wrong_bytes_are_refused_and_thrown_away(path, pattern, hub, opened, large, tmp_path):
    repo, _ = large
    _, reader = opened(repo=repo)
    hub.faults.add("corrupt", pattern)
    with pytest.raises(SourceError, match=rf"someone/large: {path} was refused: the bytes that came have the digest"):
        reader.fetch(path)
    left = [file.name for file in (tmp_path / "hf-cache" / "models--someone--large").rglob("*") if file.is_file()]
    assert left == ["main"]
    assert reader.fetch(path).is_file()


def test_a_file_damaged_in_the_cache_is_fetched_again(hub, opened, large):
    repo, weights = large
    _, reader = opened(repo=repo)
    local = reader.fetch("model.safetensors")
    damaged = bytearray(weights)
    damaged[-1] ^= 1
    local.resolve().write_bytes(damaged)
    _, reader = opened(repo=repo)
    assert reader.fetch("model.safetensors").read_bytes() == weights


def test_a_file_damaged_in_the_cache_offline(hub, opened, large, monkeypatch):
    _, reader = opened(repo=large[0])
    local = reader.fetch("model.safetensors")
    reader.fetch("config.json")
    local.resolve().write_bytes(b"\0" * len(large[1]))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    _, reader = opened(repo=large[0])
    with pytest.raises(SourceError, match=r"model.safetensors is damaged in the cache"):
        reader.fetch("model.safetensors")


def test_a_header_that_came_wrong_is_found_with_the_file(hub, opened, large):
    _, reader = opened(repo=large[0])
    reader.header("model.safetensors")
    tensor = reader.header("model.safetensors").tensors[0]
    object.__setattr__(tensor, "name", "another")
    with pytest.raises(SourceError, match="differs from the verified file's"):
        reader.fetch("model.safetensors")


LASTING = [
    ({"kind": "status", "status": 500}, "answered with status 500 .* after 8 tries"),
    ({"kind": "status", "status": 503}, "answered with status 503 .* after 8 tries"),
    ({"kind": "status", "status": 429}, "still limits the rate of requests .status 429."),
    ({"kind": "drop"}, "does not answer when asked for someone/large .* after 8 tries"),
    ({"kind": "stall"}, r"stalls: nothing came for 0.3 seconds .HF_HUB_DOWNLOAD_TIMEOUT., after 8 tries"),
]


@pytest.mark.parametrize(("fault", "message"), LASTING, ids=[words(fault) for fault, _ in LASTING])
def test_lasting_faults_end_in_a_message(fault, message, hub, opened, large, quick):
    hub.faults.add(pattern=API, times=99, **fault)
    with pytest.raises(SourceError, match=message):
        opened(repo=large[0])
    assert len(hub.requests) == 8


def test_an_answer_that_is_no_hubs(hub, opened, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", f"{hub.url}/elsewhere")
    with pytest.raises(SourceError, match="does not exist on"):
        opened(repo="someone/large")


def test_a_hub_that_is_not_there(opened, hub, monkeypatch):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
    with pytest.raises(SourceError, match=r"does not answer .* after 4 tries.*HF_HUB_OFFLINE=1"):
        opened(repo="someone/large")


# Seed 5 makes eight requests in a row fail, which is as often as hfspec tries.
@pytest.mark.parametrize("seed", [0, 1, 2, 3, 4, 6])
def test_a_hub_that_fails_every_third_time(seed, hub, opened, checkpoint):
    hub.faults.flaky(one_in=3, seed=seed)
    pin, reader = opened(repo="openai-community/gpt2")
    for file in pin.files:
        if file.path.endswith(".safetensors"):
            assert reader.header(file.path).tensors
        assert reader.fetch(file.path).read_bytes() == (checkpoint("gpt2-sharded") / file.path).read_bytes()
    assert any(request.fault for request in hub.requests)


def test_a_cache_that_cannot_be_written(hub, opened, large, tmp_path, monkeypatch):
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "taken"))
    _, reader = opened(repo=large[0])
    with pytest.raises(StorageError, match=r"taken/.*/config.json cannot be written or read: Not a directory"):
        reader.fetch("config.json")
