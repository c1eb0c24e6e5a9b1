"""hfspec.lock: what a lock says, and what stays when it is written again."""

from __future__ import annotations

import json
import shutil

import pytest

import hfspec
from hfspec.errors import StorageError, UsageError
from hfspec.ir.lock import Lock
from tests.hub.repository import read_folder
from tests.locking.conftest import NAME, sha256


def stated(locked, role="model"):
    """path -> (size, digest) of what the lock file on disk says of a source."""
    sources = json.loads(locked.path.read_bytes())["sources"]
    (source,) = [source for source in sources if source["role"] == role]
    return {file["path"]: (file["size"], file["sha256"]) for file in source["files"]}


def truth(content):
    return {path: (len(data), sha256(data)) for path, data in content.items()}


def test_a_repository_is_pinned_to_its_commit_and_every_byte_that_is_used(repository, write, tmp_path):
    locked = hfspec.lock(write())
    assert locked.path == tmp_path / "specs" / "mine.yaml.lock"
    assert locked.is_new
    assert locked.changes == ()
    (source,) = json.loads(locked.path.read_bytes())["sources"]
    assert (source["kind"], source["location"], source["revision"]) == ("repo", NAME, "main")
    assert source["commit"] == repository.commit
    used = {path: data for path, data in repository.content.items() if path != "tf_model.h5"}
    assert stated(locked) == truth(used)


def test_weights_are_not_downloaded_to_be_locked(repository, write, tmp_path):
    hfspec.lock(write())
    cached = {path.name for path in (tmp_path / "hf-cache").rglob("snapshots/*/*")}
    assert "config.json" in cached
    assert "model.safetensors" not in cached


def test_a_folder_is_named_as_written_and_an_absolute_one_by_its_last_part(folder, write):
    near = hfspec.lock(write(model={"path": "./model"}))
    assert near.lock.source("model").location == "model"
    assert stated(near) == truth(read_folder(folder))
    near.path.unlink()
    far = hfspec.lock(write(model={"path": str(folder)}))
    assert far.lock.source("model").location == "model"
    assert far.lock.source("model").commit is None
    assert str(folder.parent) not in far.path.read_text()


def test_a_package_is_pinned_by_its_bytes(folder, write, tmp_path, monkeypatch):
    (tmp_path / "site" / "locked_models").mkdir(parents=True)
    package = shutil.copytree(folder, tmp_path / "site" / "locked_models" / "small")
    monkeypatch.syspath_prepend(tmp_path / "site")
    spec = write(model={"package": "locked_models/small"})
    locked = hfspec.lock(spec)
    assert (locked.lock.source("model").kind, locked.lock.source("model").location) == (
        "package",
        "locked_models/small",
    )
    assert stated(locked) == truth(read_folder(package))
    (package / "README.md").write_text("other words\n")
    assert [change.place for change in hfspec.check_lock(spec)] == ["model: README.md"]


def test_a_component_is_a_source_of_its_own(repository, folder, write):
    locked = hfspec.lock(write(components={"tokenizer": {"path": "model"}}))
    assert [source.role for source in locked.lock.sources] == ["model", "components/tokenizer"]
    assert locked.lock.source("components/tokenizer").kind == "path"
    tokenizer = stated(locked, "components/tokenizer")
    assert "tokenizer.json" in tokenizer
    assert "model.safetensors" not in tokenizer
    assert tokenizer.items() <= truth(read_folder(folder)).items()


def test_the_task_goes_by_its_own_name_and_versions_are_the_plans(repository, write):
    spec = write(task="sentiment-analysis")
    locked = hfspec.lock(spec)
    assert locked.lock.task == "text-classification"
    assert locked.lock.versions == hfspec.plan(spec).versions
    assert locked.lock.versions["torch"]


def test_chat_template_and_generation_config_have_digests_of_their_own(checkpoint, write):
    model = checkpoint("llama-chat")
    spec = write(task="text-generation", model={"path": str(model)})
    locked = hfspec.lock(spec)
    from transformers import AutoTokenizer

    template = AutoTokenizer.from_pretrained(model).chat_template
    assert locked.lock.chat_templates == {"default": sha256(template.encode())}
    expected = sha256((model / "generation_config.json").read_bytes())
    assert locked.lock.generation_config == expected


def test_named_templates_and_templates_in_files_are_all_there(repository, write):
    config = json.loads(repository.content["tokenizer_config.json"])
    named = [{"name": "default", "template": "old"}, {"name": "tool_use", "template": "tools"}]
    repository.move(tokenizer_config__json=json.dumps({**config, "chat_template": named}).encode())
    spec = write()
    old = hfspec.lock(spec).lock.chat_templates
    assert old == {"default": sha256(b"old"), "tool_use": sha256(b"tools")}
    repository.content["additional_chat_templates/rag.jinja"] = b"rag"
    repository.move(chat_template__jinja=b"new")
    changed = hfspec.lock(spec, upgrade=True)
    assert changed.lock.chat_templates == {**old, "default": sha256(b"new"), "rag": sha256(b"rag")}
    assert {change.place for change in changed.changes if change.code == "chat-template"} == {"default", "rag"}


def test_locking_again_changes_nothing(repository, write):
    spec = write()
    first = hfspec.lock(spec)
    before = (first.path.read_bytes(), first.path.stat().st_mtime_ns, first.path.stat().st_ino)
    again = hfspec.lock(spec)
    assert (again.path.read_bytes(), again.path.stat().st_mtime_ns, again.path.stat().st_ino) == before
    assert (again.changes, again.is_new) == ((), False)


def test_comments_and_the_order_of_keys_are_not_the_spec(repository, write):
    spec = write(model_config={"top_k": 2})
    before = hfspec.lock(spec).path.read_bytes()
    lines = spec.read_text().splitlines()
    spec.write_text("# reviewed\n" + "\n".join(reversed(lines)) + "\n")
    assert hfspec.check_lock(spec) == ()
    assert hfspec.lock(spec).path.read_bytes() == before


def test_a_lock_keeps_its_commit_until_it_is_upgraded(repository, write):
    spec, old = write(), repository.commit
    hfspec.lock(spec)
    new = repository.move(README__md=b"a new card\n")
    assert hfspec.lock(spec).lock.source("model").commit == old
    upgraded = hfspec.lock(spec, upgrade=True)
    assert upgraded.lock.source("model").commit == new
    commit, file = upgraded.changes
    assert (commit.code, commit.place, commit.before, commit.after) == ("commit", "model", old, new)
    assert (file.code, file.place, file.after) == ("file", "model: README.md", sha256(b"a new card\n"))
    assert hfspec.lock(spec, upgrade=True).changes == ()


def test_what_the_spec_changes_moves_and_nothing_else(repository, write):
    old = repository.commit
    hfspec.lock(write())
    repository.move(README__md=b"a new card\n")
    other = {"tokenizer": {"repo": "unitary/toxic-bert", "revision": "v1.0"}}
    added = hfspec.lock(write(model_config={"top_k": 2}, components=other))
    assert added.lock.source("model").commit == old
    assert added.lock.source("components/tokenizer").commit == repository.hub.repositories["unitary/toxic-bert"].commit(
        "v1.0"
    )
    assert {change.code for change in added.changes} == {"spec", "source-added"}
    dropped = hfspec.lock(write())
    assert [source.role for source in dropped.lock.sources] == ["model"]
    assert dropped.lock.source("model").commit == old
    assert {change.code for change in dropped.changes} == {"spec", "source-removed"}


def test_another_revision_is_asked_for_anew(repository, write):
    old = repository.commit
    hfspec.lock(write(model={"repo": NAME, "revision": "v1"}))
    new = repository.move(README__md=b"a new card\n")
    moved = hfspec.lock(write(model={"repo": NAME, "revision": "main"}))
    assert moved.lock.source("model").commit == new != old
    assert "source-moved" in {change.code for change in moved.changes}


def test_bytes_of_a_folder_are_locked_as_they_are_now(folder, write):
    spec = write(model={"path": "model"})
    hfspec.lock(spec)
    (folder / "README.md").write_text("other words\n")
    (change,) = hfspec.lock(spec).changes
    assert (change.place, change.after) == ("model: README.md", sha256(b"other words\n"))
    assert hfspec.check_lock(spec) == ()


def test_a_lock_may_hold_for_overrides(repository, write):
    spec = write()
    hfspec.lock(spec, ["dtype=bfloat16"])
    assert hfspec.check_lock(spec, ["dtype=bfloat16"]) == ()
    assert [change.code for change in hfspec.check_lock(spec)] == ["spec"]


def test_what_cannot_be_built_is_not_locked(repository, write, tmp_path):
    spec = write(task="question-answering")
    with pytest.raises(hfspec.SpecError):
        hfspec.lock(spec)
    with pytest.raises(UsageError, match="absent"):
        hfspec.lock(tmp_path / "absent.yaml")
    assert list((tmp_path / "specs").glob("*.lock")) == []


def test_a_folder_that_takes_no_file_is_a_fault_of_the_disk(folder, write, permissions_enforced):
    spec = write(model={"path": "model"})
    spec.parent.chmod(0o555)
    try:
        with pytest.raises(StorageError, match=r"mine\.yaml\.lock cannot be written"):
            hfspec.lock(spec)
    finally:
        spec.parent.chmod(0o755)


def test_bytes_come_back_as_the_same_lock(repository, write):
    locked = hfspec.lock(write())
    data = locked.path.read_bytes()
    assert Lock.from_bytes(data) == locked.lock
    assert locked.lock.to_bytes() == data
    assert data.decode().count("\n") > 20, "a diff shows lines"


def test_a_lock_is_a_pin(repository, write):
    spec = write()
    assert [remark.code for remark in hfspec.remarks(spec)] == ["not-pinned"]
    hfspec.lock(spec)
    assert hfspec.remarks(spec) == ()
