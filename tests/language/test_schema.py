"""The schema says what the typed models say, and the file in the tree is the one that is generated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from jsonschema import Draft202012Validator

from hfspec.language import composed
from hfspec.language.model import parse_document, parse_layered
from hfspec.language.schema import composed_schema, schema_text, spec_schema
from hfspec.tasks import table
from tests.language.documents import layered, mutated, specs

ROOT = Path(__file__).parents[2]
PROFILE = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck), "database": None}
VALIDATOR = Draft202012Validator(spec_schema())
MINIMAL = {
    "spec_version": 1,
    "library": "transformers",
    "task": "text-classification",
    "model": {"repo": "a/b"},
}


def schema_accepts(document: Any) -> bool:
    errors = [error.message for error in VALIDATOR.iter_errors(document)]
    say(f"schema: {errors}")
    return not errors


def say(text: str) -> None:
    """Shown by hypothesis beside the document that the two do not agree on."""
    if currently_in_test_context():
        note(text)


def model_accepts(document: Any) -> bool:
    """A whole spec's task too has to be one of the library's, which a rule says and not the model."""
    try:
        if "defaults" in document:
            parse_layered(document)
        else:
            parse_document(document)
            return table.find(document["library"], document["task"]) is not None
    except ValueError as error:
        say(f"model: {error}")
        return False
    return True


@settings(max_examples=300, **PROFILE)
@given(specs())
def test_schema_and_models_agree_on_specs(document: dict[str, Any]) -> None:
    assert schema_accepts(document) == model_accepts(document)


@settings(max_examples=700, **PROFILE)
@given(mutated())
def test_schema_and_models_agree_on_spoiled_specs(document: dict[str, Any]) -> None:
    assert schema_accepts(document) == model_accepts(document)


@settings(max_examples=250, **PROFILE)
@given(layered())
def test_schema_and_models_agree_on_layered_files(document: dict[str, Any]) -> None:
    assert schema_accepts(document) == model_accepts(document)


@pytest.mark.parametrize(
    ("change", "good"),
    [
        ({}, True),
        ({"spec_version": 1.0}, True),
        ({"spec_version": True}, False),
        ({"spec_version": 2}, False),
        ({"library": "keras"}, False),
        ({"library": ["transformers"]}, False),
        ({"task": ""}, False),
        ({"task": 3}, False),
        ({"name": None}, True),
        ({"name": "a b"}, False),
        ({"name": "a\n"}, False),
        ({"model": {}}, False),
        ({"model": {"repo": None}}, False),
        ({"model": {"repo": "a/b", "path": None}}, True),
        ({"model": {"repo": "a/b", "path": "x"}}, False),
        ({"model": {"path": "x", "revision": "main"}}, False),
        ({"model": {"path": "x", "revision": None}}, True),
        ({"model": {"repo": "a/b", "revision": 714}}, False),
        ({"model": {"repo": "a/../b"}}, False),
        ({"model_config": {"top_k": 2}}, True),
        ({"model_config": {"top_k": 2.0}}, True),
        ({"model_config": {"top_k": True}}, False),
        ({"model_config": {"top_k": 0}}, False),
        ({"model_config": {"temperature": 0.4}}, False),
        ({"model_config": None}, False),
        ({"task": "sentiment-analysis", "model_config": {"temperature": 0.4}}, False),
        ({"task": "unheard-of", "model_config": {"anything": 1}}, False),
        ({"task": "text-ranking"}, False),
        ({"task": "translation_en_to_fr"}, True),
        ({"signature": {"params": {"top_k": 2}}}, True),
        ({"signature": {"params": {"top_k": {"default": None, "type": "long"}}}}, True),
        ({"signature": {"params": {"top_k": None}}}, False),
        ({"signature": {"params": {"top_k": "two"}}}, False),
        ({"signature": {"params": {"top_k": {"default": "two"}}}}, False),
        ({"signature": {"params": {"top_k": {"type": "long"}}}}, False),
        ({"signature": {"params": {"temperature": 0.4}}}, False),
        ({"signature": {"output_tensor": {"dtype": "float32", "shape": [-2]}}}, False),
        ({"signature": {"inputs": []}}, False),
        ({"trust_remote_code": False}, True),
        ({"trust_remote_code": True}, False),
        ({"trust_remote_code": 0}, False),
        ({"golden": [{"input": 1, "output": 2, "tolerance": -1}]}, False),
        ({"max_shard_size": "0GB"}, False),
        ({"defaults": ["_self_"]}, True),
        ({"defaults": []}, False),
        ({"defaults": [{"group": 1}]}, False),
        ({"typo": 1}, False),
    ],
)
def test_both_say_what_the_language_says(change: dict[str, Any], good: bool) -> None:
    document = MINIMAL | change
    assert (schema_accepts(document), model_accepts(document)) == (good, good)


@pytest.mark.parametrize("key", ["spec_version", "library", "task", "model"])
def test_a_whole_spec_needs_its_keys_and_a_layered_one_does_not(key: str) -> None:
    document = {name: value for name, value in MINIMAL.items() if name != key}
    assert (schema_accepts(document), model_accepts(document)) == (False, False)
    over_a_base = document | {"defaults": ["/_base/x", "_self_"]}
    assert (schema_accepts(over_a_base), model_accepts(over_a_base)) == (True, True)


def test_the_schema_is_valid_and_has_an_identity() -> None:
    Draft202012Validator.check_schema(spec_schema())
    assert spec_schema()["$schema"].endswith("2020-12/schema")
    assert spec_schema()["$id"] == "urn:hfspec:schema:spec:1"


def test_every_key_is_described() -> None:
    bare = [
        f"{name}.{key}"
        for name, definition in spec_schema()["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if not value.get("description") and not name.endswith(".params")
    ]
    assert not bare


def test_every_task_has_its_settings_in_the_schema() -> None:
    for library, name in table.TASKS:
        task = table.find(library, name)
        assert task is not None
        known = spec_schema()["$defs"][f"{library}.{name.replace('/', '.')}"]["properties"]
        assert {setting.name: setting.schema() for setting in task.settings} == known


def test_variants_are_told_apart_without_a_choice_between_them() -> None:
    top = {key: value for key, value in spec_schema().items() if key != "$defs"}
    assert "oneOf" not in json.dumps(top)
    assert "anyOf" not in json.dumps(top)


def test_the_file_in_the_tree_is_up_to_date() -> None:
    written = (ROOT / "schemas/spec.schema.json").read_text(encoding="utf-8")
    assert written == schema_text(), "run `hfspec schema` and commit the result"


def test_what_checks_a_composed_spec_is_the_published_schema_without_its_layers() -> None:
    """And without the names of tasks, of which a rule speaks, with the one that is meant."""
    published, composed = spec_schema(), composed_schema()
    assert {key: composed[key] for key in published["else"]} == published["else"]
    assert {name: _without_task(composed["$defs"][name]) for name in composed["$defs"]} == {
        name: _without_task(published["$defs"][name]) for name in composed["$defs"]
    }
    assert not [name for name in composed["$defs"] if name.startswith("Layered")]


def _without_task(definition: dict[str, Any]) -> dict[str, Any]:
    return {**definition, "properties": {**definition.get("properties", {}), "task": None}}


def test_the_schema_that_specs_are_checked_by_is_the_one_that_the_models_give():
    assert composed.schema() == composed_schema(), "run `make docs` and commit the result"
