"""Adapters over the tiny checkpoints, and specs with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from tests.checkpoints.adapters import ADAPTERS, make_adapter


@pytest.fixture(autouse=True)
def _own_cache(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What load remembers of verified files is kept with the test run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder / "cache"))


@pytest.fixture(scope="session")
def adapter(shared_folder: Path, checkpoint: Callable[[str], Path]) -> Callable[[str], Path]:
    """``adapter(name)``: the folder of an adapter, made once a run. Never write into it: copy it."""

    def get(name: str) -> Path:
        folder = shared_folder / "adapters" / name
        folder.parent.mkdir(exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                make_adapter(name, checkpoint(ADAPTERS[name][0]), folder.with_name(f"{name}.partial")).rename(folder)
        return folder

    return get


@pytest.fixture
def own_adapter(tmp_path: Path, adapter: Callable[[str], Path]) -> Callable[[str], Path]:
    """``own_adapter(name)``: a copy of an adapter that the test may break."""
    return lambda name: Path(shutil.copytree(adapter(name), tmp_path / "own" / name))


@pytest.fixture
def spec_with(tmp_path: Path, checkpoint: Callable[[str], Path], adapter: Callable[[str], Path]) -> Callable[..., Path]:
    """``spec_with(adapter_name, task, **keys)``: a spec of the adapter and its checkpoint; ``keys`` add or replace, and
    those in ``on_adapter`` add to the adapter's own.
    """

    def write(name: str, task: str, on_adapter: dict[str, Any] | None = None, **keys: Any) -> Path:
        source = {"path": str(adapter(name)), **(on_adapter or {})}
        model = {"path": str(checkpoint(ADAPTERS[name][0]))}
        library = {"spec_version": 1, "library": "transformers", "task": task, "model": model}
        spec = tmp_path / "spec.yaml"
        spec.write_text(json.dumps({**library, "adapter": source, **keys}), encoding="utf-8")
        return spec

    return write


@pytest.fixture
def directly(checkpoint: Callable[[str], Path], adapter: Callable[[str], Path]) -> Callable[..., Any]:
    """``directly(name, dtype)``: the model as peft loads it from the sources."""

    def load(name: str, dtype: str = "float32", **settings: Any) -> Any:
        import torch
        import transformers
        from peft import PeftModel

        base, model_class, _, own = ADAPTERS[name]
        loaded = getattr(transformers, model_class).from_pretrained(
            checkpoint(base), dtype=getattr(torch, dtype), **own, **settings
        )
        return PeftModel.from_pretrained(loaded, str(adapter(name))).eval()

    return load
