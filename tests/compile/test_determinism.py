"""Same spec and same sources, same bytes: whatever the folder, umask, time zone and hash seed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import hfspec
from tests.compile.conftest import tree_of, write_spec

COMPILE = """
import os, sys
os.umask(int(sys.argv[1], 8))
import hfspec
print(hfspec.compile(sys.argv[2], overrides=sys.argv[3:]).digest)
"""


def compiled_in(place: Path, checkpoint: Path, umask: str, **environment: str) -> tuple[str, Path]:
    """A compile in a process of its own, in a folder of its own; the digest it printed and the artifact."""
    shutil.copytree(checkpoint, place / "models" / checkpoint.name)
    spec = write_spec(place / "specs", Path("../models") / checkpoint.name, metadata={"b": 1, "a": [2, "ü"]})
    work = place / "work"
    work.mkdir()
    command = [
        sys.executable,
        "-c",
        COMPILE,
        umask,
        os.path.relpath(spec, work),
        "dtype=bfloat16",
        "max_shard_size=20KB",
    ]
    done = subprocess.run(
        command, cwd=work, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    return done.stdout.strip(), work / "build" / "spec"


def test_two_compiles_give_the_same_bytes(tmp_path, checkpoint: Callable[[str], Path]):
    model = checkpoint("bert-sentiment")
    first, one = compiled_in(tmp_path / "a", model, "022", TZ="UTC", PYTHONHASHSEED="0", LC_ALL="C")
    second, two = compiled_in(
        tmp_path / "elsewhere" / "b", model, "077", TZ="Asia/Kathmandu", PYTHONHASHSEED="4711", LC_ALL="C.UTF-8"
    )
    assert first == second
    assert tree_of(one) == tree_of(two)
    modes = [{path.relative_to(root): path.stat().st_mode for path in root.rglob("*")} for root in (one, two)]
    assert modes[0] == modes[1]
    assert hfspec.verify(one).digest == first
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
