"""hfspec.check_lock: everything that moved since a spec was locked, by name, and nothing else."""

from __future__ import annotations

import pytest

import hfspec
from hfspec.errors import LockError
from tests.locking.conftest import NAME, edit, sha256


@pytest.fixture
def locked_folder(folder, write):
    """A spec over a folder, locked."""
    spec = write(model={"path": "model"})
    hfspec.lock(spec)
    return spec, folder


def codes(changes):
    return [(change.code, change.place) for change in changes]


def test_a_lock_that_holds_has_nothing_to_tell(repository, write):
    spec = write()
    hfspec.lock(spec)
    assert hfspec.check_lock(spec) == ()


def test_a_lock_that_is_missing_is_an_error(repository, write):
    with pytest.raises(LockError, match=r"mine\.yaml\.lock does not exist; write it with `hfspec lock ") as caught:
        hfspec.check_lock(write())
    assert [change.code for change in caught.value.changes] == ["missing"]


@pytest.mark.parametrize("revision", ["main", "v1", None])
def test_a_branch_or_tag_that_moved_is_listed_with_both_commits(repository, write, revision):
    model = {"repo": NAME, "revision": revision} if revision else {"repo": NAME}
    spec, old = write(model=model), repository.commit
    path = hfspec.lock(spec).path
    before = path.read_bytes()
    new = repository.move(tag="v1", special_tokens_map__json=b"{}\n", README__md=None)
    changes = hfspec.check_lock(spec)
    assert (changes[0].code, changes[0].before, changes[0].after) == ("commit", old, new)
    assert old in changes[0].message
    assert new in changes[0].message
    files = {change.place: change.after for change in changes[1:] if change.code == "file"}
    assert files.pop("model: special_tokens_map.json") == sha256(b"{}\n")
    assert set(files) <= {"model: README.md"}
    assert path.read_bytes() == before, "a check writes nothing"


def test_a_commit_does_not_move(repository, write):
    spec = write(model={"repo": NAME, "revision": repository.commit[:12]})
    hfspec.lock(spec)
    repository.move(README__md=b"a new card\n")
    assert hfspec.check_lock(spec) == ()


def test_a_byte_of_weights_changed_without_changing_the_size(locked_folder):
    spec, folder = locked_folder
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    old = sha256(weights.read_bytes())
    weights.write_bytes(data)
    (change,) = hfspec.check_lock(spec)
    assert (change.code, change.place) == ("file", "model: model.safetensors")
    assert (change.before, change.after) == (old, sha256(bytes(data)))


def test_files_that_come_and_go(locked_folder):
    spec, folder = locked_folder
    (folder / "special_tokens_map.json").write_text("{}")
    (folder / "tokenizer_config.json").unlink()
    (folder / "notes.txt").write_text("no deployment uses this")
    expected = [("file", "model: special_tokens_map.json"), ("file", "model: tokenizer_config.json")]
    assert codes(hfspec.check_lock(spec)) == expected


def test_a_generation_config_that_changed_is_named_as_such(locked_folder):
    spec, folder = locked_folder
    (folder / "generation_config.json").write_text('{"max_new_tokens": 5}')
    expected = [("file", "model: generation_config.json"), ("generation-config", "generation_config")]
    assert codes(hfspec.check_lock(spec)) == expected


def test_a_spec_that_changed_makes_the_lock_stale(repository, write):
    spec = write()
    hfspec.lock(spec)
    assert codes(hfspec.check_lock(write(model_config={"top_k": 2}))) == [("spec", "spec")]
    assert codes(hfspec.check_lock(write(), ["dtype=bfloat16"])) == [("spec", "spec")]
    assert hfspec.check_lock(write()) == ()


def test_sources_that_the_lock_does_not_have(repository, folder, write):
    hfspec.lock(write())
    changes = hfspec.check_lock(write(components={"tokenizer": {"path": "model"}}))
    assert codes(changes) == [("spec", "spec"), ("source-added", "components/tokenizer")]
    changes = hfspec.check_lock(write(model={"path": "model"}))
    assert [code for code in codes(changes) if code[0] != "file"] == [
        ("spec", "spec"),
        ("source-moved", "model"),
        ("commit", "model"),
    ]


def test_versions_that_differ_are_drift(locked_folder):
    spec, _ = locked_folder
    lock = spec.with_name("mine.yaml.lock")
    edit(lock, lambda value: value["versions"].update(torch="1.0.0", absent_package="3"))
    changes = hfspec.check_lock(spec)
    assert codes(changes) == [("version", "absent_package"), ("version", "torch")]
    assert changes[0].after == "not installed"
    assert changes[1].before == "1.0.0"


def test_a_digest_that_somebody_changed_is_found(repository, write):
    spec = write()
    lock = hfspec.lock(spec).path
    files = {file["path"]: at for at, file in enumerate(_sources(lock)[0]["files"])}
    for name in ("config.json", "model.safetensors"):
        hfspec.lock(spec)
        edit(lock, lambda value, at=files[name]: value["sources"][0]["files"][at].update(sha256="0" * 64))
        assert codes(hfspec.check_lock(spec)) == [("file", f"model: {name}")]


def _sources(lock):
    from hfspec.ir.lock import Lock

    return Lock.from_bytes(lock.read_bytes()).model_dump()["sources"]


def test_a_source_that_is_gone_is_a_fault_of_the_spec_that_names_it(locked_folder):
    spec, folder = locked_folder
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(hfspec.SpecError, match="model does not exist"):
        hfspec.check_lock(spec)
