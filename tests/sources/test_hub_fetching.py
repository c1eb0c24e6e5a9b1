"""What is asked of the hub, and what is not."""

from __future__ import annotations

import hashlib
import threading

import pytest
from safetensors import safe_open

from hfspec.errors import SourceError
from hfspec.ir.progress import Silent
from hfspec.sources.hub import open_repo

SENTIMENT = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
USED = ["LICENSE", "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


def test_a_short_commit_is_pinned_whole(hub, opened):
    pin, _ = opened(repo=SENTIMENT, revision="714eb0f")
    assert pin.commit == hub.repositories[SENTIMENT].branches["main"]
    assert (pin.kind, pin.location, pin.revision) == ("repo", SENTIMENT, "714eb0f")


@pytest.mark.parametrize("revision", [None, "main", "v1.0"])
def test_branches_and_tags_are_pinned(revision, hub, opened):
    pin, _ = opened(repo=SENTIMENT, **({"revision": revision} if revision else {}))
    assert pin.commit == hub.repositories[SENTIMENT].branches["main"]


def test_a_branch_with_a_slash(hub, opened):
    commit = hub.publish("someone/branches", {"config.json": b"{}", "model.safetensors": b""}, branch="refs/pr/1")
    assert opened(repo="someone/branches", revision="refs/pr/1")[0].commit == commit


def test_pins_state_sizes_and_digests(hub, opened, checkpoint):
    pin, _ = opened(repo=SENTIMENT)
    folder = checkpoint("bert-sentiment")
    assert [file.path for file in pin.files] == USED
    for file in pin.files:
        data = (folder / file.path).read_bytes()
        assert file.size == len(data)
        assert file.sha256 == (hashlib.sha256(data).hexdigest() if file.path == "model.safetensors" else None)


def test_resolving_asks_once_and_fetches_nothing(hub, opened):
    opened(repo=SENTIMENT)
    assert len(hub.requests) == 1
    assert hub.bodies() == []


def test_only_the_files_used_are_fetched_each_once(hub, opened, checkpoint):
    pin, reader = opened(repo=SENTIMENT)
    for file in pin.files:
        assert reader.fetch(file.path).read_bytes() == (checkpoint("bert-sentiment") / file.path).read_bytes()
    sent = sum(request.sent for request in hub.bodies())
    assert sent == sum(file.size for file in pin.files)
    assert len(hub.bodies()) == len(pin.files)
    asked = {request.path.rpartition("/")[2] for request in hub.requests if "/resolve/" in request.path}
    assert asked == set(USED)


def test_the_second_time_nothing_is_fetched(hub, opened):
    pin, reader = opened(repo=SENTIMENT)
    files = [reader.fetch(file.path) for file in pin.files]
    hub.forget()
    again, reader = opened(repo=SENTIMENT)
    assert again == pin
    assert [reader.fetch(file.path) for file in pin.files] == files
    assert reader.header("model.safetensors").tensors
    assert len(hub.requests) == 1


def test_the_cache_is_the_clients_own(hub, opened, tmp_path):
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    pin, reader = opened(repo=SENTIMENT)
    cache = tmp_path / "hf-cache"
    for name in ("config.json", "model.safetensors"):
        local = reader.fetch(name)
        assert try_to_load_from_cache(SENTIMENT, name, cache_dir=cache, revision=pin.commit) == str(local)
        assert try_to_load_from_cache(SENTIMENT, name, cache_dir=cache, revision="main") == str(local)
    fetched = hf_hub_download(SENTIMENT, "tokenizer.json", endpoint=hub.url, cache_dir=cache, token=False)
    hub.forget()
    assert str(reader.fetch("tokenizer.json")) == fetched
    assert hub.requests == []


def test_a_header_is_read_by_range(hub, opened, checkpoint, large):
    repo, weights = large
    _, reader = opened(repo=repo)
    header = reader.header("model.safetensors")
    assert [(tensor.name, tensor.dtype, tensor.shape) for tensor in header.tensors] == [("w", "I32", (75_000,))]
    assert sum(request.sent for request in hub.bodies()) == 100_000 < len(weights)
    reader.header("model.safetensors")
    assert len(hub.bodies()) == 1


def test_headers_are_as_the_library_reads_them(hub, opened, checkpoint):
    pin, reader = opened(repo="openai-community/gpt2")
    weights = [file.path for file in pin.files if file.path.endswith(".safetensors")]
    assert len(weights) == 3
    for name in weights:
        with safe_open(checkpoint("gpt2-sharded") / name, "pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
        assert {tensor.name: tensor.shape for tensor in reader.header(name).tensors} == shapes


def test_a_header_longer_than_the_first_read(hub, opened):
    import json

    names = [f"layer.{index}.weight{'x' * 100}" for index in range(1000)]
    entries = {n: {"dtype": "U8", "shape": [1], "data_offsets": [i, i + 1]} for i, n in enumerate(names)}
    header = json.dumps(entries).encode()
    weights = len(header).to_bytes(8, "little") + header + bytes(1000)
    assert len(header) > 100_000
    hub.publish("someone/long-header", {"config.json": b"{}", "model.safetensors": weights})
    _, reader = opened(repo="someone/long-header")
    assert [tensor.name for tensor in reader.header("model.safetensors").tensors] == names
    assert sum(request.sent for request in hub.bodies()) == len(weights) - 1000


def test_a_broken_header_is_refused(hub, opened):
    hub.publish("someone/broken", {"config.json": b"{}", "model.safetensors": b"\xff" * 500})
    _, reader = opened(repo="someone/broken")
    with pytest.raises(
        SourceError, match=r"someone/broken: model.safetensors is not a sound safetensors file: its header"
    ):
        reader.header("model.safetensors")


def test_progress_tells_every_byte_once(hub, opened, progress, large):
    repo, weights = large
    _, reader = opened(repo=repo)
    hub.faults.add("cut", "/cdn/", times=2)
    reader.fetch("model.safetensors")
    assert progress.works == [[f"{repo}: model.safetensors", len(weights), len(weights)]]
    assert not progress.is_open


def test_two_at_once_fetch_once_and_both_get_it(hub, large):
    repo, weights = large
    results, sources = [], [open_repo(repo, None, Silent()) for _ in range(2)]

    def fetch(source):
        results.append(source.fetch("model.safetensors").read_bytes() == weights)

    threads = [threading.Thread(target=fetch, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True, True]
    assert len(hub.bodies("/cdn/")) == 1


def test_offline_uses_the_cache(hub, opened, monkeypatch):
    pin, reader = opened(repo=SENTIMENT)
    for file in pin.files:
        reader.fetch(file.path)
    hub.forget()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for revision in ("main", "714eb0f", pin.commit):
        again, reader = opened(repo=SENTIMENT, revision=revision)
        assert (again.commit, again.files) == (pin.commit, pin.files)
        assert reader.fetch("model.safetensors").is_file()
        assert reader.header("model.safetensors").tensors
    assert hub.requests == []


def test_offline_without_a_cache(hub, opened, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match=r"at revision 'main' is not in the cache .*HF_HUB_OFFLINE forbids"):
        opened(repo=SENTIMENT)
    assert hub.requests == []


def test_offline_with_part_of_the_files_says_what_is_there(hub, opened, monkeypatch):
    _, reader = opened(repo=SENTIMENT)
    reader.fetch("config.json")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SourceError, match=r"it has no weights .*Found there: config.json"):
        opened(repo=SENTIMENT)


def test_a_path_that_would_leave_the_cache_is_refused(hub, opened):
    hub.publish("someone/hostile", {"config.json": b"{}", "../../evil": b"x", "model.safetensors": b""})
    with pytest.raises(SourceError, match=r"would leave its folder: '../../evil'"):
        opened(repo="someone/hostile")
