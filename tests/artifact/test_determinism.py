"""Same spec and same sources, same bytes: whatever the folder, umask, time zone and hash seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hfspec
from tests.compiling import tree_of, write_spec

COMPILE = """
import os, sys
os.umask(int(sys.argv[1], 8))
import hfspec
print(hfspec.compile(sys.argv[2], overrides=sys.argv[3:]).digest)
"""
OVERRIDES = ["dtype=bfloat16", "max_shard_size=20KB"]


def laid_out(place: Path, checkpoint: Path) -> Path:
    """A checkpoint, a spec that names it by a relative path, and a folder to work in; the spec."""
    shutil.copytree(checkpoint, place / "models" / checkpoint.name)
    (place / "place").mkdir()
    return write_spec(place / "specs", Path("../models") / checkpoint.name, metadata={"b": 1, "a": [2, "ü"]})


def linked(place: Path, checkpoint: Path) -> Path:
    """The same, its files links into another folder, as in the hub's cache, made in another order, with other times."""
    snapshot = place / "models" / "snapshots" / ("a" * 40)
    (place / "models" / "blobs").mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(checkpoint.iterdir(), reverse=True)):
        blob = place / "models" / "blobs" / str(number)
        shutil.copy(path, blob)
        os.utime(blob, (number, number))
        (snapshot / path.name).symlink_to(f"../../blobs/{number}")
    (place / "models" / checkpoint.name).symlink_to(snapshot.relative_to(place / "models"))
    (place / "place").mkdir()
    return write_spec(place / "specs", Path("../models") / checkpoint.name, metadata={"b": 1, "a": [2, "ü"]})


def test_two_compiles_give_the_same_bytes(forks, tmp_path, checkpoint: Callable[[str], Path]):
    """In a fork of a process with one hash seed, and in a process of its own with everything else."""
    model = checkpoint("bert-sentiment")
    spec = laid_out(tmp_path / "a", model)
    script = f"""
os.umask(0o022)
os.chdir({str(tmp_path / "a" / "place")!r})
os.environ.update(TZ="UTC", LC_ALL="C")
print(json.dumps(hfspec.compile("../specs/spec.yaml", overrides={OVERRIDES!r}).digest))
"""
    first = forks.run(script, spec, tmp_path / "a" / "place" / "none")
    other = linked(tmp_path / "elsewhere" / "b", model)
    second = subprocess.run(
        [sys.executable, "-c", COMPILE, "077", other, *OVERRIDES],
        cwd=tmp_path / "elsewhere" / "b" / "place",
        env={**os.environ, "TZ": "Asia/Kathmandu", "PYTHONHASHSEED": "4711", "LC_ALL": "C.UTF-8"},
        check=True,
        capture_output=True,
        text=True,
    )
    one, two = tmp_path / "a/place/build/spec", tmp_path / "elsewhere/b/place/build/spec"
    assert tree_of(one) == tree_of(two)
    assert first == second.stdout.strip() == hfspec.verify(one).digest
    modes = [{path.relative_to(root): path.stat().st_mode for path in root.rglob("*")} for root in (one, two)]
    assert modes[0] == modes[1]
    for content in tree_of(two).values():
        assert str(tmp_path).encode() not in content


def test_no_absolute_path_is_kept(checkpoint: Callable[[str], Path], tmp_path):
    model = checkpoint("bert-sentiment")
    assert model.is_absolute()
    artifact = hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target")
    for path, content in tree_of(artifact.path).items():
        assert str(model.parent).encode() not in content, path
    assert artifact.manifest.sources[0].location == "bert-sentiment"


def test_the_digest_depends_on_the_spec_and_on_the_weights(checkpoint: Callable[[str], Path], own_copy, tmp_path):
    plain = hfspec.compile(write_spec(tmp_path / "a", checkpoint("bert-sentiment")), output=tmp_path / "1")
    other_spec = write_spec(tmp_path / "b", checkpoint("bert-sentiment"), model_config={"top_k": 2})
    model = own_copy("bert-sentiment")
    weights = bytearray((model / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (model / "model.safetensors").write_bytes(weights)
    other_weights = write_spec(tmp_path / "c", model)
    digests = {
        plain.digest,
        hfspec.compile(other_spec, output=tmp_path / "2").digest,
        hfspec.compile(other_weights, output=tmp_path / "3").digest,
    }
    assert len(digests) == 3
