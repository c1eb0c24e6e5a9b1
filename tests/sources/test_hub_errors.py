"""Refusals say which of the possible reasons it is, and what to do."""

from __future__ import annotations

import pytest

from hfspec.errors import SourceError
from tests.hub.server import STRANGER, TOKEN

FILES = {"config.json": b"{}", "model.safetensors": b"\x02\0\0\0\0\0\0\0{}"}


def refusal(opened, **source):
    with pytest.raises(SourceError) as caught:
        opened(**source)
    assert caught.value.__cause__ is not None
    return str(caught.value)


def test_a_repository_that_is_not_there(hub, opened):
    message = refusal(opened, repo="someone/absent")
    assert message.startswith("someone/absent does not exist on http://127.0.0.1")
    assert "or it is private" in message
    assert "hf auth login" in message
    assert len(hub.requests) == 1


def test_a_private_repository(hub, opened, monkeypatch):
    hub.publish("someone/private", FILES, private=True)
    assert "or it is private: the hub does not tell" in refusal(opened, repo="someone/private")
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    assert "it is private and the token in use may not see it" in refusal(opened, repo="someone/private")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    _, reader = opened(repo="someone/private")
    assert reader.fetch("config.json").read_bytes() == b"{}"
    assert reader.fetch("model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_a_token_that_the_hub_refuses(hub, opened, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    assert "refuses the token in use" in refusal(opened, repo="distilbert/distilgpt2")


def test_a_gated_repository(hub, opened, monkeypatch):
    hub.publish("someone/gated", FILES, gated=True)

    def fetch():
        with pytest.raises(SourceError) as caught:
            opened(repo="someone/gated")[1].fetch("model.safetensors")
        return str(caught.value)

    message = fetch()
    assert (
        f"someone/gated is gated: its authors grant access on request. Ask for it at {hub.url}/someone/gated" in message
    )
    assert "hf auth login" in message
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    assert "the token in use has no access yet" in fetch()
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert opened(repo="someone/gated")[1].fetch("model.safetensors").is_file()


def test_a_gated_header(hub, opened):
    hub.publish("someone/gated", FILES, gated=True)
    with pytest.raises(SourceError, match="someone/gated is gated"):
        opened(repo="someone/gated")[1].header("model.safetensors")


def test_an_unknown_revision_lists_the_known_ones(hub, opened):
    hub.publish("someone/tagged", FILES, tag="v1.0")
    message = refusal(opened, repo="someone/tagged", revision="v1.1")
    assert "someone/tagged has no revision 'v1.1'" in message
    assert "Did you mean 'v1.0'?" in message
    assert "Branches and tags there: main, v1.0." in message


def test_an_unknown_revision_when_the_list_cannot_be_had(hub, opened):
    hub.faults.add("status", "/refs", status=500, times=99)
    message = refusal(opened, repo="distilbert/distilgpt2", revision="absent")
    assert message.endswith("it is not a branch, no tag and no commit there.")


def test_an_unknown_commit(hub, opened):
    assert "has no revision" in refusal(opened, repo="distilbert/distilgpt2", revision="0" * 40)


def test_an_impossible_name(hub, opened):
    assert "cannot be the name of a repository" in refusal(opened, repo="a--b/c..d")
    assert hub.requests == []


def test_no_config_and_no_weights(hub, opened):
    hub.publish("someone/dataset", {"README.md": b"# data", "train.csv": b"a,b"})
    with pytest.raises(SourceError) as caught:
        opened(repo="someone/dataset")
    assert "someone/dataset cannot be used as a checkpoint: it has no config.json and no weights" in str(caught.value)
    assert "Found there: README.md, train.csv." in str(caught.value)


def test_a_file_that_is_not_there(hub, opened):
    _, reader = opened(repo="distilbert/distilgpt2")
    with pytest.raises(SourceError, match=r"distilbert/distilgpt2 has no file absent.json at commit [0-9a-f]{40}"):
        reader.fetch("absent.json")


@pytest.mark.parametrize("endpoint", ["nonsense", "hub.example", "ftp://hub.example", "http://", "https:// x"])
def test_an_endpoint_that_is_no_address(endpoint, hub, opened, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(SourceError, match=r"HF_ENDPOINT is .* which is not an address"):
        opened(repo="someone/absent")
    assert hub.requests == []
