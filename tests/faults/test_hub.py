"""Whole compiles from a hub that fails, and with a cache that does."""

from __future__ import annotations

import os

import pytest

import hfspec
from tests.compiling import tree_of
from tests.hub.faults import ANY

REPO = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
SPEC = f"spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {{repo: {REPO}, revision: main}}\n"


@pytest.fixture
def spec(tmp_path, hub, monkeypatch):
    """A spec of a repository on the hub."""
    monkeypatch.setenv("HFSPEC_HUB_FIRST_WAIT", "0.001")
    file = tmp_path / "specs" / "sentiment.yaml"
    file.parent.mkdir()
    file.write_text(SPEC)
    return file


@pytest.fixture
def compiled_from(spec, tmp_path, monkeypatch):
    """``compiled_from(cache)``: the artifact's files, compiled with the cache of this name."""

    def compiled(cache):
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / cache))
        return tree_of(hfspec.compile(spec, output=tmp_path / "out" / "target").path)

    return compiled


def test_hub_lost_at_each_request(hub, compiled_from, tmp_path):
    """Before every request of a compile in turn: it says so and leaves nothing, and the next run goes on from there."""
    sound = compiled_from("sound")
    requests = hub.requests
    bodies = sum(request.sent for request in requests)
    (tmp_path / "out" / "target").rename(tmp_path / "sound-artifact")
    assert len(requests) > 8
    for number in range(len(requests)):
        hub.forget()
        hub.faults.lose_after(number)
        with pytest.raises(hfspec.SourceError) as caught:
            compiled_from(f"cache-{number}")
        assert f"The hub at {hub.url} does not answer when asked for {REPO}" in str(caught.value)
        assert "run again: what was downloaded is kept" in str(caught.value)
        assert list((tmp_path / "out").glob("*")) == []
        came = sum(request.sent for request in hub.requests)
        hub.forget()
        assert compiled_from(f"cache-{number}") == sound
        listing = max(request.sent for request in requests if request.path.startswith("/api/"))
        assert came + sum(request.sent for request in hub.requests) < bodies + 2 * listing + 200_000
        (tmp_path / "out" / "target").rename(tmp_path / f"done-{number}")


@pytest.mark.parametrize("seed", range(3))
def test_a_hub_that_fails_every_third_time(seed, hub, compiled_from, monkeypatch):
    sound = compiled_from("sound")
    for name in ("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"):
        monkeypatch.setenv(name, "0.3")
    hub.forget()
    hub.faults.flaky(one_in=3, seed=seed, kinds=ANY)
    assert compiled_from("flaky") == sound
    assert any(request.fault for request in hub.requests)


def test_two_compiles_share_an_empty_cache(hub, spec, forks, compiled_from, tmp_path):
    """Of two targets at once: both succeed, with the same bytes, and each file comes once."""
    sound = compiled_from("sound")
    hub.forget()
    names = ("HF_ENDPOINT", "HF_HOME", "HFSPEC_HUB_FIRST_WAIT", "HF_TOKEN_PATH")
    settings = {**{name: os.environ[name] for name in names}, "HF_HUB_CACHE": str(tmp_path / "shared")}
    script = f"""
os.environ.update({settings!r})
os.environ.pop("HF_HUB_OFFLINE", None)
first, children = target, []
for target in (first + "1", first + "2"):
    children.append(start())
print(json.dumps([ended(child) for child in children]))
"""
    assert forks.run(script, spec, tmp_path / "pair" / "target") == [0, 0]
    assert tree_of(tmp_path / "pair" / "target1") == tree_of(tmp_path / "pair" / "target2") == sound
    whole = [request for request in hub.bodies("/cdn/") if not request.range]
    assert len(whole) <= 1 + sum("model.safetensors" in path for path in sound)


def test_a_cache_that_takes_nothing(hub, spec, tmp_path, monkeypatch, permissions_enforced):
    cache = tmp_path / "closed"
    cache.mkdir(mode=0o555)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    with pytest.raises(hfspec.StorageError, match=r"closed/.* cannot be written or read: Permission .* HF_HUB_CACHE"):
        hfspec.compile(spec, output=tmp_path / "out" / "target")
    assert not (tmp_path / "out").exists()
    assert list(cache.iterdir()) == []
