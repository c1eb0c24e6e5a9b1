"""Two locks compared."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.comparison.change import Change


@pytest.fixture
def spec(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Path:
    """A spec over a copy of a tiny classifier, locked."""
    shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "m")
    file = tmp_path / "x.yaml"
    text = "spec_version: 1\nlibrary: transformers\ntask: text-classification\nmodel: {path: m}\n"
    file.write_text(text, encoding="utf-8")
    hfspec.lock(file)
    return file


def test_changed_bytes_are_told_by_digest(spec: Path) -> None:
    lock, old = spec.with_name("x.yaml.lock"), spec.with_name("old.lock")
    shutil.copy(lock, old)
    assert hfspec.diff(old, lock) == ()
    config = spec.parent / "m" / "config.json"
    config.write_bytes(config.read_bytes() + b"\n")
    hfspec.lock(spec)
    size, file = hfspec.diff(old, lock)
    assert (size.group, size.key, size.after - size.before) == ("size", "model", 1)
    assert (file.group, file.key, file.kind) == ("files", "model/config.json", "changed")
    assert hfspec.diff(lock, old) == (size.mirrored(), file.mirrored())


def test_a_lock_is_compared_with_a_lock(spec: Path) -> None:
    with pytest.raises(hfspec.UsageError, match=r"is a spec and .* is a lock"):
        hfspec.diff(spec, f"{spec}.lock")
    broken = spec.with_name("broken.lock")
    broken.write_text("{}")
    with pytest.raises(hfspec.LockError, match=r"broken\.lock is not a lock"):
        hfspec.diff(broken, f"{spec}.lock")


def test_another_spec_is_another_digest(spec: Path) -> None:
    lock, old = spec.with_name("x.yaml.lock"), spec.with_name("old.lock")
    shutil.copy(lock, old)
    spec.write_text(spec.read_text() + "dtype: bfloat16\n")
    hfspec.lock(spec)
    assert [(change.group, change.key) for change in hfspec.diff(old, lock)] == [("spec digest", "")]
    assert isinstance(hfspec.diff(old, lock)[0], Change)
