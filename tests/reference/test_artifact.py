"""What a reference artifact holds, and what it says of what it does not hold."""

from __future__ import annotations

import hashlib
import re
import shutil
import time
from pathlib import Path

import pytest

import hfspec
from benchmarks.reference import SPEC, put_in_cache
from hfspec.integrity.verified_memory import Memory, default_memory
from hfspec.ir.progress import Silent
from tests.hub.repository import read_folder
from tests.reference.conftest import REPO, TEXTS, tree_of, weights_of, write


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2-sharded", "st-dense"])
def test_everything_but_the_weights(name, both):
    full, reference = both(name)
    assert weights_of(reference.path) == []
    missing = set(tree_of(full.path)) - set(tree_of(reference.path))
    assert missing == {path.relative_to(full.path).as_posix() for path in weights_of(full.path)}
    assert set(tree_of(reference.path)) <= set(tree_of(full.path))
    assert hfspec.verify(reference.path).digest == reference.digest


def test_pointers_say_what_is_needed(both, tmp_path):
    _, reference = both("st-dense")
    told = {f"{p.folder}": {file.path: file.sha256 for file in p.files} for p in reference.manifest.pointers}
    folder = tmp_path / "sources" / "st-dense"
    digest = {path: hashlib.sha256(data).hexdigest() for path, data in read_folder(folder).items()}
    assert told == {
        "": {"model.safetensors": digest["model.safetensors"]},
        "2_Dense/": {"2_Dense/model.safetensors": digest["2_Dense/model.safetensors"]},
    }


def test_no_path_of_this_machine(both, tmp_path):
    _, reference = both("bert-sentiment")
    assert not [path for path, data in tree_of(reference.path).items() if str(tmp_path).encode() in data]


def test_the_commit_that_was_read(hub, on_hub):
    reference = on_hub()
    (source,) = reference.manifest.sources
    assert re.fullmatch("[0-9a-f]{40}", source.commit)
    assert source.commit == hub.repositories[REPO].branches["main"]
    assert not [request for request in hub.bodies("/cdn/") if not request.range]  # headers by range, no whole weights


class MovesTheBranch(Silent):
    """At the first piece of work, somebody pushes to ``main``."""

    def __init__(self, hub, content):
        self.push, self.commits = lambda: hub.publish(REPO, content), []

    def start(self, what, total_bytes):
        if not self.commits:
            self.commits.append(self.push())


@pytest.mark.parametrize("save_mode", ["reference", "full"])
def test_a_branch_that_moves_meanwhile(save_mode, hub, on_hub, checkpoint, tmp_path):
    reference = on_hub()
    spec, read = tmp_path / "specs" / "spec.yaml", hub.repositories[REPO].branches["main"]
    shutil.rmtree(tmp_path / "hf-cache")
    moved = MovesTheBranch(hub, read_folder(checkpoint("bert-toxic")))
    again = hfspec.compile(spec, tmp_path / "again", [f"save_mode={save_mode}"], progress=moved)
    assert moved.commits == [hub.repositories[REPO].branches["main"]] != [read]
    assert again.manifest.sources[0].commit == read
    full = hfspec.persist(reference.path) if save_mode == "full" else reference
    assert again.digest == full.digest


def test_known_digests_need_no_reading(source, tmp_path):
    """The first compile of a folder reads its weights; the second takes the digest that it remembers."""
    file = source("bert-sentiment") / "model.safetensors"
    time.sleep(0.2)  # a file this young may change without its times showing it, and is not remembered
    spec = write(tmp_path / "specs", "bert", {"path": str(file.parent)}, save_mode="reference")
    hfspec.compile(spec, tmp_path / "reference")
    memory = Memory.read(default_memory())
    (entry,) = (entry for entry in memory.entries.values() if entry[0] == file.stat().st_size)
    entry[-1], memory.is_changed = "0" * 64, True
    memory.write()
    again = hfspec.compile(spec, tmp_path / "again")
    assert again.manifest.pointers[0].files[0].sha256 == "0" * 64


def test_a_hub_compile_from_the_cache_reads_no_weights(hub, on_hub, tmp_path, monkeypatch):
    """The cached weights are a sparse file: only its header is right."""
    reference = on_hub()
    hfspec.load(reference.path)
    (blob,) = [path.resolve() for path in (tmp_path / "hf-cache").rglob("model.safetensors")]
    length = int.from_bytes(blob.read_bytes()[:8], "little") + 8
    size = blob.stat().st_size
    with blob.open("r+b") as file:
        file.truncate(length)
        file.truncate(size)
    hub.forget()
    again = hfspec.compile(tmp_path / "specs" / "spec.yaml", tmp_path / "again", ["save_mode=reference"], run=False)
    assert again.digest == reference.digest
    assert not hub.bodies("safetensors")


def read_so_far():
    return int(Path("/proc/self/io").read_text().split()[1])


def test_the_bytes_that_are_read_of_a_large_checkpoint(tmp_path, monkeypatch):
    """benchmarks/reference.py does it with 2 GB, and looks at the time as well."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    read = []
    for layers in (1, 8):
        size = put_in_cache(tmp_path / "cache", f"bench/{layers}", layers)
        spec = tmp_path / f"layers-{layers}.yaml"
        spec.write_text(SPEC.format(repo=f"bench/{layers}"))
        before = read_so_far()
        (pointer,) = hfspec.compile(spec, tmp_path / str(layers)).manifest.pointers
        read.append(read_so_far() - before)
        assert (pointer.size, pointer.files[0].sha256) == (size, f"{layers:064x}")
    assert size > 400e6
    assert read[1] < 4e6  # the first one has imported what it needs


def test_pickled_weights_are_refused(tmp_path, checkpoint):
    spec = write(tmp_path / "specs", "bert", {"path": str(checkpoint("pickle-only"))}, save_mode="reference")
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    (problem,) = caught.value.problems
    assert (problem.code, problem.path) == ("not-by-reference", ("save_mode",))
    assert "save_mode: full" in problem.remedy


def test_merged_adapters_are_refused(tmp_path):
    adapter = {"repo": "a/b", "merge": True}
    spec = write(tmp_path, "bert", {"repo": "a/c"}, save_mode="reference", adapter=adapter)
    (problem,) = hfspec.validate(spec)
    assert (problem.code, problem.path) == ("conflict", ("adapter", "merge"))


def test_the_example_is_run(source, tmp_path):
    model = {"path": str(source("bert-sentiment"))}
    golden = [{"input": TEXTS[0], "output": [{"label": "nobody's", "score": 0.5}]}]
    spec = write(tmp_path / "specs", "bert", model, save_mode="reference", golden=golden)
    with pytest.raises(hfspec.SpecError, match="golden"):
        hfspec.compile(spec, tmp_path / "reference")
    assert not (tmp_path / "reference").exists()


def test_a_damaged_pointer_is_found(reference):
    manifest = reference / "artifact.json"
    manifest.write_text(manifest.read_text().replace('"folder": ""', '"folder": "x/"'))
    with pytest.raises(hfspec.VerificationError, match=r"artifact\.json"):
        hfspec.load(reference)
