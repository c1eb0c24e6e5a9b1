"""Specs whose sources the tests move: a repository, a folder and a package of their own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hub.repository import read_folder
from tests.hub.server import Hub

NAME = "locks/sentiment"


class Repository:
    """A repository that nothing else uses. ``content`` is what its ``main`` holds now."""

    def __init__(self, hub: Hub, content: dict[str, bytes]) -> None:
        self.hub = hub
        self.content = content
        self.commit = ""
        self.move(tag="v1")

    def move(self, *, tag: str = "", **changed: bytes | None) -> str:
        """``main``, and a tag, at a new commit with files changed, added, or taken away (None)."""
        given = {name.replace("__", "."): data for name, data in changed.items()}
        self.content = {path: data for path, data in {**self.content, **given}.items() if data is not None}
        self.commit = self.hub.publish(NAME, dict(self.content), tag=tag)
        return self.commit


@pytest.fixture
def repository(hub: Hub, checkpoint: Callable[[str], Path]) -> Iterator[Repository]:
    """``locks/sentiment``: a classifier beside files that no deployment uses."""
    made = Repository(hub, {**read_folder(checkpoint("bert-sentiment")), "tf_model.h5": b"unused"})
    yield made
    del hub.repositories[NAME]


@pytest.fixture
def folder(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Path:
    """The same classifier as a folder beside the specs; the test's own."""
    shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "specs" / "model")
    return tmp_path / "specs" / "model"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(**keys)``: the spec ``specs/mine.yaml``; a sentiment classifier of the repository unless told."""

    def spec(**keys: object) -> Path:
        model = {"repo": NAME, "revision": "main"}
        document = {"spec_version": 1, "library": "transformers", "task": "text-classification", "model": model, **keys}
        file = tmp_path / "specs" / "mine.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items()), encoding="utf-8")
        return file

    return spec


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def edit(lock: Path, change: Callable[[dict], object]) -> None:
    """A lock as somebody's hand would change it."""
    value = json.loads(lock.read_text(encoding="utf-8"))
    change(value)
    lock.write_text(json.dumps(value), encoding="utf-8")
