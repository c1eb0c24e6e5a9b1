"""compile and plan beside a lock: its commits are taken; with locked=True every byte is held to it."""

from __future__ import annotations

import shutil

import pytest

import hfspec
from hfspec.errors import LockError, SourceError
from tests.locking.conftest import NAME, edit


def test_locked_builds_the_same_bytes_after_the_branch_moved(repository, write, tmp_path):
    spec, old = write(), repository.commit
    before = hfspec.compile(spec, output=tmp_path / "before")
    hfspec.lock(spec)
    new = repository.move(README__md=b"a new card\n")
    after = hfspec.compile(spec, output=tmp_path / "after", locked=True)
    assert after.digest == before.digest
    assert after.manifest.sources[0].commit == old
    assert after.manifest.sources[0].revision == "main"
    (tmp_path / "specs" / "mine.yaml.lock").unlink()
    assert hfspec.compile(spec, output=tmp_path / "moved").manifest.sources[0].commit == new


def test_a_folder_of_a_repository_is_locked_and_nothing_beside_it_is_fetched(repository, write, tmp_path, hub):
    whole = hfspec.compile(write(), output=tmp_path / "whole")
    inside = {f"runs/best/{path}": data for path, data in repository.content.items()}
    others = {f"runs/last/{path}": b"of no use" for path in repository.content}
    repository.content = {}
    repository.move(**{**inside, **others})
    spec = write(model={"repo": NAME, "revision": "main", "folder": "runs/best"})
    hfspec.lock(spec)
    hub.forget()
    locked = hfspec.compile(spec, output=tmp_path / "locked", locked=True)
    assert not hub.bodies("runs/last")
    assert locked.manifest.fingerprint == whole.manifest.fingerprint
    repository.move(**{"runs/best/config.json": b"{}"})
    assert hfspec.compile(spec, output=tmp_path / "again", locked=True).digest == locked.digest
    with pytest.raises(LockError, match="the spec changed"):
        hfspec.plan(write(model={"repo": NAME, "revision": "main", "folder": "runs/last"}), locked=True)


def test_an_unlocked_plan_takes_the_locks_commits_too_and_says_so(repository, write):
    spec, old = write(), repository.commit
    hfspec.lock(spec)
    new = repository.move(README__md=b"a new card\n")
    planned = hfspec.plan(spec, ["dtype=bfloat16"])
    assert planned.sources[0].commit == old
    assert any("mine.yaml.lock says the commit of model" in note for note in planned.notes)
    other = hfspec.plan(write(model={"repo": NAME}))
    assert other.sources[0].commit == new
    assert any("mine.yaml.lock does not say the commit of model" in note for note in other.notes)


def test_locked_works_without_a_hub_once_the_cache_has_it(repository, write, tmp_path, monkeypatch):
    spec = write()
    hfspec.lock(spec)
    first = hfspec.compile(spec, output=tmp_path / "first", locked=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hfspec.compile(spec, output=tmp_path / "second", locked=True).digest == first.digest


def test_locked_needs_a_lock(repository, write, tmp_path):
    for call in (hfspec.plan, hfspec.compile):
        with pytest.raises(LockError, match=r"mine\.yaml\.lock does not exist"):
            call(write(), locked=True)
    assert not (tmp_path / "build").exists()


def test_locked_refuses_a_spec_that_changed(repository, write):
    hfspec.lock(write())
    with pytest.raises(LockError, match="the spec changed since it was locked") as caught:
        hfspec.plan(write(model_config={"top_k": 2}), locked=True)
    assert "hfspec lock" in str(caught.value)
    assert [change.code for change in caught.value.changes] == ["spec"]


def test_locked_refuses_overrides_that_were_not_locked(repository, write):
    spec = write()
    hfspec.lock(spec, ["dtype=bfloat16"])
    assert hfspec.plan(spec, ["dtype=bfloat16"], locked=True).deployment.dtype == "bfloat16"
    with pytest.raises(LockError, match=r"\(with dtype=float16\)"):
        hfspec.plan(spec, ["dtype=float16"], locked=True)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_locked_refuses_other_bytes_and_leaves_the_old_artifact(folder, write, tmp_path, name):
    spec = write(model={"path": "model"})
    hfspec.lock(spec)
    kept = hfspec.compile(spec, output=tmp_path / "out", locked=True)
    data = bytearray((folder / name).read_bytes())
    data[-2] ^= 1
    (folder / name).write_bytes(data)
    with pytest.raises(LockError, match=rf"model: {name}: other bytes"):
        hfspec.compile(spec, output=tmp_path / "out", locked=True)
    assert hfspec.verify(tmp_path / "out").digest == kept.digest


def test_bytes_are_refused_before_anything_parses_them(folder, write):
    spec = write(model={"path": "model"})
    hfspec.lock(spec)
    (folder / "config.json").write_text("{ no json")
    with pytest.raises(LockError, match=r"model: config\.json"):
        hfspec.plan(spec, locked=True)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_locked_refuses_a_repository_that_has_not_the_locked_bytes(repository, write, name):
    spec = write()
    lock = hfspec.lock(spec).path

    def forge(value):
        (file,) = [file for file in value["sources"][0]["files"] if file["path"] == name]
        file["sha256"] = "0" * 64

    edit(lock, forge)
    with pytest.raises(LockError, match=f"model: {name}"):
        hfspec.plan(spec, locked=True)


def test_locked_refuses_other_versions(folder, write):
    spec = write(model={"path": "model"})
    lock = hfspec.lock(spec).path
    edit(lock, lambda value: value["versions"].update(transformers="5.0.0"))
    with pytest.raises(LockError, match=r"transformers: 5\.0\.0 -> "):
        hfspec.plan(spec, locked=True)
    hfspec.lock(spec)
    edit(lock, lambda value: value["versions"].pop("transformers"))
    with pytest.raises(LockError, match="transformers: nothing -> "):
        hfspec.plan(spec, locked=True)
    assert hfspec.plan(spec).name == "mine", "without --locked a lock says commits only"


def test_a_locked_commit_that_the_hub_lost_is_said(repository, write, tmp_path):
    spec = write()
    hfspec.lock(spec)
    lost = repository.commit
    repository.move(README__md=b"a new card\n")
    del repository.hub.repositories[NAME].commits[lost]
    repository.hub.repositories[NAME].tags.clear()
    shutil.rmtree(tmp_path / "hf-cache")
    with pytest.raises(SourceError, match=lost):
        hfspec.plan(spec, locked=True)
