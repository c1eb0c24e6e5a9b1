"""Sources opened as the compiler opens them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hfspec.ir.spec_keys import Source
from hfspec.sources.opening import open_source
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES


class Recorder:
    """A Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.works: list[list] = []
        self.is_open = False

    def start(self, what: str, total_bytes: int | None) -> None:
        assert not self.is_open
        self.is_open = True
        self.works.append([what, total_bytes, 0])

    def advance(self, bytes_done: int) -> None:
        assert self.is_open
        assert bytes_done > 0
        self.works[-1][2] += bytes_done

    def finish(self) -> None:
        assert self.is_open
        self.is_open = False


@pytest.fixture
def progress() -> Recorder:
    return Recorder()


@pytest.fixture
def opened(progress):
    """``opened(repo=…)``: the pin and the reader of a source."""

    def get(role="model", library="transformers", base=Path(), **source):
        task = table.find(library, "feature-extraction")
        layout = LIBRARIES[library].part("layout")
        return open_source(Source(**source), role, base, progress, select=lambda *of: layout(*of, task))

    return get


@pytest.fixture(scope="session")
def large_weights() -> bytes:
    """A safetensors file of 300 kB, no byte run of it like another."""
    data = b"".join(index.to_bytes(4, "little") for index in range(75_000))
    header = json.dumps({"w": {"dtype": "I32", "shape": [75_000], "data_offsets": [0, len(data)]}}).encode()
    return len(header).to_bytes(8, "little") + header + data


@pytest.fixture
def large(hub, large_weights):
    """A repository with one large weight file: its name, and the weights."""
    hub.publish("someone/large", {"config.json": b'{"model_type": "bert"}', "model.safetensors": large_weights})
    return "someone/large", large_weights
