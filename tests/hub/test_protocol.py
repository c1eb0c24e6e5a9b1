"""The test hub is taken for a hub by the real client."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.hub.server import STRANGER, TOKEN

SENTIMENT = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"


@pytest.fixture
def api(hub):
    return HfApi(endpoint=hub.url, token=False)


def test_download_of_a_small_and_a_large_file(hub, checkpoint, tmp_path):
    for name in ("config.json", "model.safetensors"):
        local = hf_hub_download(SENTIMENT, name, endpoint=hub.url, cache_dir=tmp_path, token=False)
        assert Path(local).read_bytes() == (checkpoint("bert-sentiment") / name).read_bytes()
    assert not any("xet" in request.path for request in hub.requests)


def test_revisions_name_commits(api):
    commit = api.model_info(SENTIMENT, revision="714eb0f").sha
    assert commit.startswith("714eb0f")
    assert len(commit) == 40
    for revision in (None, "main", "v1.0", commit):
        assert api.model_info(SENTIMENT, revision=revision).sha == commit
    refs = api.list_repo_refs(SENTIMENT)
    assert [ref.name for ref in [*refs.branches, *refs.tags]] == ["main", "v1.0"]


def test_sizes_and_digests_are_those_of_the_files(api, checkpoint):
    info = api.model_info(SENTIMENT, files_metadata=True)
    entries = {sibling.rfilename: sibling for sibling in info.siblings}
    data = (checkpoint("bert-sentiment") / "model.safetensors").read_bytes()
    assert entries["model.safetensors"].size == len(data)
    assert entries["model.safetensors"].lfs.sha256 == hashlib.sha256(data).hexdigest()
    assert entries["config.json"].lfs is None
    assert {entry.path for entry in api.list_repo_tree(SENTIMENT, recursive=True)} == set(entries)


def test_headers_by_range(api, hub, checkpoint):
    from safetensors import safe_open

    metadata = api.get_safetensors_metadata(SENTIMENT)
    with safe_open(checkpoint("bert-sentiment") / "model.safetensors", "pt") as file:
        assert set(metadata.weight_map) == set(file.keys())


def test_refusals(hub, api, tmp_path):
    hub.publish("someone/private", {"config.json": b"{}"}, private=True)
    hub.publish("someone/gated", {"config.json": b"{}"}, gated=True)

    def download(repo, name="config.json", token=False, **more):
        return hf_hub_download(repo, name, endpoint=hub.url, cache_dir=tmp_path, token=token, **more)

    with pytest.raises(HfHubHTTPError, match="401"):
        download("someone/private")
    with pytest.raises(RepositoryNotFoundError):
        download("someone/private", token=STRANGER)
    with pytest.raises(GatedRepoError, match="401"):
        download("someone/gated")
    with pytest.raises(GatedRepoError, match="403"):
        download("someone/gated", token=STRANGER)
    with pytest.raises(RemoteEntryNotFoundError):
        download(SENTIMENT, "absent.json")
    with pytest.raises(RevisionNotFoundError):
        download(SENTIMENT, revision="absent")
    assert Path(download("someone/private", token=TOKEN)).read_bytes() == b"{}"
    assert Path(download("someone/gated", token=TOKEN)).read_bytes() == b"{}"


def test_commits_follow_from_content(hub):
    first = hub.publish("someone/moving", {"config.json": b"{}"})
    assert hub.publish("someone/moving", {"config.json": b"{}"}) == first
    assert hub.publish("someone/moving", {"config.json": b"[]"}) != first
    assert hub.repositories["someone/moving"].commit(first[:7]) == first
