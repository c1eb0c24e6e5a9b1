"""Every spec in specs/ compiles end to end from the hub it names, and its emitted predictor answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hfspec
from hfspec.language.discovery import spec_files
from hfspec.tasks import table
from tests.hub.server import Hub

ROOT = Path(__file__).parents[2]
SPECS = spec_files([ROOT / "specs"])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.stem)
def test_compiles_and_answers(spec: Path, hub: Hub, tmp_path: Path) -> None:
    """compile runs the emitted predictor, in a process of its own, on the spec's input_example."""
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    example = json.loads((artifact.path / "input_example.json").read_text(encoding="utf-8"))
    predictor = hfspec.load(artifact.path)
    rows = predictor.predict(example, outputs="full")
    assert len(rows) == (len(example) if isinstance(example, list) and not isinstance(example[0], dict) else len(rows))
    assert len(predictor.predict(example)) > 0
    assert all(source.kind != "repo" or len(source.commit or "") == 40 for source in artifact.manifest.sources)


def test_every_spec_is_good_without_a_source() -> None:
    assert {spec.name: hfspec.validate(spec) for spec in SPECS} == {spec.name: () for spec in SPECS}


def test_every_task_has_a_spec() -> None:
    shown = {(spec.library, table.canonical(spec.library, spec.task)) for spec in map(hfspec.load_spec, SPECS)}
    assert set(table.TASKS) <= shown
