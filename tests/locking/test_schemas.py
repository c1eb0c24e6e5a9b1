"""The JSON Schemas of locks and manifests accept what hfspec writes and refuse what it does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import hfspec
from hfspec.artifact.schema import manifest_schema
from hfspec.locking.schema import lock_schema

ROOT = Path(__file__).parents[2]
SCHEMAS = {"lock": lock_schema, "artifact": manifest_schema}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_file_in_the_tree_is_the_one_that_is_generated(kind):
    schema = SCHEMAS[kind]()
    Draft202012Validator.check_schema(schema)
    written = (ROOT / "schemas" / f"{kind}.schema.json").read_text(encoding="utf-8")
    assert json.loads(written) == schema
    assert schema["$id"] == f"urn:hfspec:schema:{kind}:1"


def test_a_written_lock_is_one_by_its_schema(repository, folder, write):
    locked = hfspec.lock(write(components={"tokenizer": {"path": "model"}}))
    Draft202012Validator(lock_schema()).validate(json.loads(locked.path.read_bytes()))


@pytest.fixture
def manifest(folder, write, tmp_path):
    """What artifact.json says of a classifier with params and an embedder's tensor beside it."""
    params = {"top_k": {"type": "long", "default": 2, "minimum": 1, "maximum": 2}}
    artifact = hfspec.compile(write(model={"path": "model"}, signature={"params": params}), output=tmp_path / "out")
    return json.loads((artifact.path / "artifact.json").read_bytes())


def test_an_artifacts_manifest_is_one_by_its_schema(manifest, checkpoint, write, tmp_path):
    validator = Draft202012Validator(manifest_schema())
    validator.validate(manifest)
    model = {"path": str(checkpoint("minilm-like"))}
    spec = write(library="sentence-transformers", task="feature-extraction", model=model)
    artifact = hfspec.compile(spec, output=tmp_path / "embedder")
    embedder = json.loads((artifact.path / "artifact.json").read_bytes())
    assert "shape" in json.dumps(embedder["signature"])
    validator.validate(embedder)


def test_what_is_no_manifest_is_refused_at_its_place(manifest):
    validator = Draft202012Validator(manifest_schema())
    wrong = [
        (("format_version",), 3),
        (("digest",), "0"),
        (("files", 0, "sha256"), "0"),
        (("files", 0, "size"), -1),
        (("sources", 0, "commit"), "main"),
        (("sources", 0, "kind"), None),
        (("deployment", "prompt_template"), 3),
        (("deployment", "surprise"), 3),
        (("signature", "inputs"), "text"),
        (("signature", "inputs", 0, "required"), "yes"),
        (("signature", "params", 0, "minimum"), "1"),
        (("versions",), []),
    ]
    for path, value in wrong:
        copy = json.loads(json.dumps(manifest))
        place = copy
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = value
        errors = list(validator.iter_errors(copy))
        assert errors, path
        assert all(tuple(error.absolute_path) == path[: len(error.absolute_path)] for error in errors)
    for key in manifest:
        if key not in ("space", "fingerprint"):
            without = {name: value for name, value in manifest.items() if name != key}
            assert not validator.is_valid(without), key
