"""What was verified is remembered, and nothing else is: not a changed file, not what somebody else wrote."""

from __future__ import annotations

import json
import os
import threading
import time

import pytest

import hfspec
from hfspec.integrity import verified_memory
from hfspec.integrity.verification import examine
from tests.compiling import tree_of

WEIGHTS = "model/model.safetensors"


@pytest.fixture
def memory(tmp_path):
    return tmp_path / "cache" / "verified.json"


@pytest.fixture
def artifact(artifact):
    """One that is older than a moment: younger files are not remembered."""
    time.sleep(0.12)
    return artifact


def flip(file):
    """Another content of the same size, with the old mtime put back."""
    before = file.stat()
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    file.write_bytes(damaged)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def forge(memory, file, sha256):
    """An entry which says that the file, as it is now, has the digest."""
    found = file.stat()
    memory.parent.mkdir(exist_ok=True, mode=0o700)
    state = [found.st_size, found.st_mtime_ns, found.st_ctime_ns, sha256]
    memory.write_text(json.dumps({f"{found.st_dev}:{found.st_ino}": state}))
    memory.chmod(0o600)


def refused(artifact, memory):
    with pytest.raises(hfspec.VerificationError) as caught:
        examine(artifact, remember=memory)
    assert caught.value.files == (WEIGHTS,)


@pytest.fixture
def forged(artifact, memory):
    """A damaged artifact, and a memory in which it is not."""
    manifest = hfspec.verify(artifact)
    flip(artifact / WEIGHTS)
    forge(memory, artifact / WEIGHTS, next(record.sha256 for record in manifest.files if record.path == WEIGHTS))
    return memory


def test_what_was_verified_is_remembered_until_it_changes(artifact, memory):
    examine(artifact, remember=memory)
    assert len(json.loads(memory.read_bytes())) == len(tree_of(artifact)) - 1
    examine(artifact, remember=memory)
    flip(artifact / WEIGHTS)
    refused(artifact, memory)


def test_another_file_in_its_place_with_its_times_is_not_known(artifact, memory):
    examine(artifact, remember=memory)
    other = artifact.parent / "other"
    other.write_bytes((artifact / WEIGHTS).read_bytes())
    flip(other)
    found = (artifact / WEIGHTS).stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(artifact / WEIGHTS)
    refused(artifact, memory)


def test_memory_is_what_saves_the_reading(artifact, forged):
    """A memory that says so makes a damaged file pass: it was not read again."""
    assert examine(artifact, remember=forged)
    with pytest.raises(hfspec.VerificationError):
        hfspec.verify(artifact)


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_memory_that_others_may_write_is_not_believed(mode, artifact, forged):
    forged.chmod(mode)
    refused(artifact, forged)


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_nor_one_in_a_folder_in_which_others_may_put_files(mode, artifact, forged):
    forged.parent.chmod(mode)
    refused(artifact, forged)


def test_nor_one_behind_a_link(artifact, forged):
    forged.rename(forged.with_name("elsewhere"))
    forged.symlink_to("elsewhere")
    refused(artifact, forged)


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser can give a file away")
def test_nor_one_of_another_owner(artifact, forged):
    os.chown(forged, 12345, -1)
    refused(artifact, forged)


def test_nor_a_pipe_which_would_be_waited_for(artifact, memory):
    memory.parent.mkdir(mode=0o700)
    os.mkfifo(memory)
    assert examine(artifact, remember=memory)


@pytest.mark.parametrize("content", [b"", b"[]", b"{broken", b'{"1:2": null}', b"\xff", b"[" * 100_000])
def test_a_broken_memory_does_no_harm_and_is_replaced(content, artifact, memory):
    memory.parent.mkdir(mode=0o700)
    memory.write_bytes(content)
    assert examine(artifact, remember=memory)
    assert len(json.loads(memory.read_bytes())) >= len(tree_of(artifact)) - 1


def test_an_unwritable_memory_does_no_harm(artifact, tmp_path, permissions_enforced):
    (tmp_path / "file").write_text("")
    assert examine(artifact, remember=tmp_path / "file" / "verified.json")
    (tmp_path / "closed").mkdir(mode=0o555)
    assert examine(artifact, remember=tmp_path / "closed" / "verified.json")
    assert list((tmp_path / "closed").iterdir()) == []


def test_a_full_disk_leaves_the_old_memory_and_no_scraps(artifact, memory, monkeypatch):
    examine(artifact, remember=memory)
    before = memory.read_bytes()
    (artifact / "LICENSE").touch()
    time.sleep(0.12)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    assert examine(artifact, remember=memory)
    assert memory.read_bytes() == before
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]


def test_only_its_owner_can_read_it(artifact, memory):
    examine(artifact, remember=memory)
    assert memory.stat().st_mode & 0o777 == 0o600
    assert memory.parent.stat().st_mode & 0o777 == 0o700


def test_it_grows_no_further_than_its_bound_and_keeps_what_was_used_last(artifact, memory, monkeypatch):
    monkeypatch.setattr(verified_memory, "MOST_ENTRIES", 400)
    memory.parent.mkdir(mode=0o700)
    memory.write_text(json.dumps({f"0:{number}": [1, 2, 3, "x"] for number in range(500)}))
    examine(artifact, remember=memory)
    kept = list(json.loads(memory.read_bytes()))
    files = {f"{path.stat().st_dev}:{path.stat().st_ino}" for path in artifact.rglob("*") if path.is_file()}
    assert len(kept) == 400
    assert len(files & set(kept)) == len(files) - 1
    assert kept[0] == f"0:{500 - (400 - len(files) + 1)}"


def test_two_writers_keep_each_others_entries(copied, memory):
    """Not promised when both write in one moment, but neither leaves a broken file."""
    places = [copied(name) for name in ("bert-sentiment", "gpt2")]
    time.sleep(0.12)
    writers = [threading.Thread(target=examine, args=(place, memory)) for place in places * 3]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    examine(places[0], remember=memory)
    examine(places[1], remember=memory)
    files = [path for place in places for path in place.rglob("*") if path.is_file() and path.name != "artifact.json"]
    assert set(json.loads(memory.read_bytes())) >= {f"{path.stat().st_dev}:{path.stat().st_ino}" for path in files}
    assert [path.name for path in memory.parent.iterdir()] == [memory.name]


def test_where_it_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert verified_memory.default_memory() == tmp_path / "hfspec" / "verified.json"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert verified_memory.default_memory() == tmp_path / "home" / ".cache" / "hfspec" / "verified.json"
