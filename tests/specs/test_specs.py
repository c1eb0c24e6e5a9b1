"""Every spec in specs/ compiles end to end from the hub it names, and its emitted predictor answers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import hfspec
from hfspec.export import kserve
from hfspec.export.exporting import export
from hfspec.export.facts import Facts, facts_of
from hfspec.export.targets import TARGETS
from hfspec.language.discovery import spec_files
from hfspec.tasks import table
from tests.export.manifests import published
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
    assert exported(artifact.path, tmp_path / "kserve")
    assert all(source.kind != "repo" or len(source.commit or "") == 40 for source in artifact.manifest.sources)


def refusal(target: str, facts: Facts) -> str:
    """Why a target has no files of an artifact; empty where it has."""
    try:
        assert TARGETS[target].part("files")(facts, TARGETS[target].part("Options")())
    except hfspec.UsageError as error:
        return str(error)
    return ""


def exported(artifact: Path, folder: Path) -> bool:
    """Whether the manifests for KServe are what is published, where the schemas are, and every other engine gets its
    files or an account of what it cannot express. References have no exports.
    """
    options = kserve.Options("registry.example.org/models:1", "s3://models/one")
    if hfspec.verify(artifact).pointers:
        with pytest.raises(hfspec.UsageError, match="hfspec persist"):
            export("kserve", artifact, folder, options)
        return True
    export("kserve", artifact, folder, options)
    facts = facts_of(artifact)
    refused = {target: refusal(target, facts) for target in ("vllm", "tei", "triton")}
    assert all(said.startswith(f"{target} cannot express") for target, said in refused.items() if said)
    schemas = published()
    found = [yaml.safe_load(file.read_text()) for file in sorted(folder.glob("*.yaml"))]
    return len(found) == 2 and (schemas is None or not any(map(schemas.problems, found)))


def test_every_spec_is_good_without_a_source() -> None:
    assert {spec.name: hfspec.validate(spec) for spec in SPECS} == {spec.name: () for spec in SPECS}


def test_every_task_has_a_spec() -> None:
    shown = {(spec.library, table.canonical(spec.library, spec.task)) for spec in map(hfspec.load_spec, SPECS)}
    assert set(table.TASKS) <= shown
