"""Weight files that share the source's bytes."""

from __future__ import annotations

import errno
import fcntl
import stat

import pytest

import hfspec
from hfspec.artifact.linking import FICLONE
from tests.reference.conftest import tree_of, weights_of, write


@pytest.fixture
def spec(tmp_path, source):
    return write(tmp_path / "specs", "gpt2-sharded", {"path": str(source("gpt2-sharded"))})


def can_reflink(folder):
    (folder / "a").write_bytes(b"x" * 8192)
    with (folder / "a").open("rb") as one, (folder / "b").open("wb") as other:
        try:
            fcntl.ioctl(other.fileno(), FICLONE, one.fileno())
        except OSError:
            return False
    return True


def test_hard_links_are_the_same_artifact(spec, tmp_path):
    files = weights_of(tmp_path / "sources")
    files[0].chmod(0o600)
    copied = hfspec.compile(spec, tmp_path / "copied", run=False)
    linked = hfspec.compile(spec, tmp_path / "linked", run=False, link="hardlink")
    assert tree_of(linked.path) == tree_of(copied.path)
    made = weights_of(linked.path)
    assert [file.stat().st_ino for file in made] == [file.stat().st_ino for file in files]
    assert [file.stat().st_nlink for file in weights_of(copied.path)] == [1] * len(files)
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600  # its own, whatever artifacts have


def test_the_cache_of_the_hub(on_hub, tmp_path):
    on_hub()
    spec = tmp_path / "specs" / "spec.yaml"
    linked = hfspec.compile(spec, tmp_path / "linked", run=False, link="hardlink")
    (cached,), (made,) = weights_of(tmp_path / "hf-cache"), weights_of(linked.path)
    assert not made.is_symlink()
    assert made.stat().st_ino == cached.resolve().stat().st_ino
    hfspec.verify(linked.path)


def test_a_later_change_of_the_source_is_caught(spec, tmp_path):
    linked = hfspec.compile(spec, tmp_path / "linked", run=False, link="hardlink")
    file = weights_of(tmp_path / "sources")[0]
    with file.open("r+b") as stream:
        stream.seek(-1, 2)
        stream.write(b"\xff")
    with pytest.raises(hfspec.VerificationError, match=file.name):
        hfspec.load(linked.path)


def test_what_is_written_anew_is_not_linked(spec, tmp_path):
    cast = ["dtype=bfloat16"]
    copied = hfspec.compile(spec, tmp_path / "copied", cast, run=False)
    linked = hfspec.compile(spec, tmp_path / "linked", cast, run=False, link="hardlink")
    assert tree_of(linked.path) == tree_of(copied.path)


def test_reflinks(spec, tmp_path):
    if can_reflink(tmp_path):
        linked = hfspec.compile(spec, tmp_path / "linked", run=False, link="reflink")
        assert tree_of(linked.path) == tree_of(hfspec.compile(spec, tmp_path / "copied", run=False).path)
        return
    with pytest.raises(hfspec.StorageError, match=r"as a reflink: .*Use --link copy"):
        hfspec.compile(spec, tmp_path / "linked", run=False, link="reflink")
    assert not (tmp_path / "linked").exists()


def test_another_file_system(spec, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    with pytest.raises(hfspec.StorageError, match=r"different file systems\. Use --link copy"):
        hfspec.compile(spec, tmp_path / "linked", run=False, link="hardlink")


def test_persist_links_too(both, tmp_path):
    full, reference = both("bert-sentiment")
    persisted = hfspec.persist(reference.path, link="hardlink")
    assert tree_of(persisted.path) == tree_of(full.path)
    assert weights_of(persisted.path)[0].stat().st_ino == weights_of(tmp_path / "sources")[0].stat().st_ino


def test_no_effect_on_a_reference(spec, tmp_path):
    with pytest.raises(hfspec.UsageError, match="no effect with save_mode: reference"):
        hfspec.compile(spec, tmp_path / "linked", ["save_mode=reference"], link="hardlink")
    with pytest.raises(hfspec.UsageError, match="one of copy, hardlink, reflink"):
        hfspec.compile(spec, tmp_path / "linked", link="symlink")
