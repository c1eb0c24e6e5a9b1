"""Columns with fields: written and read back, and what is none of them refused."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from hfspec.artifact.schema import manifest_schema
from hfspec.ir.signature import Column, Param, Signature, Tensor
from tests.detections import BEST, BOX, MASK, OBJECTS, OUTPUTS

DOUBLE = {"type": "double", "required": True}
SCORE = {"name": "score", **DOUBLE}


def document(*outputs: Any) -> Any:
    return {"inputs": [{"name": "image", "type": "binary", "required": True}], "outputs": list(outputs), "params": []}


def is_described(value: Any) -> bool:
    """Whether the schema of artifact.json allows the signature."""
    whole = manifest_schema()
    schema = {"$schema": whole["$schema"], "$defs": whole["$defs"], "$ref": "#/$defs/Signature"}
    jsonschema.Draft202012Validator.check_schema(schema)
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize(
    "outputs",
    [
        OUTPUTS,
        (OBJECTS,),
        (BEST,),
        (Column("array"),),
        (Column("object", "about", required=False),),
        (Column("array", "points", fields=(Column("array", fields=(Column("double"),)),)),),
        (Column("array", "found", fields=(Column("any"),)),),
        Tensor("float32", (-1, 4)),
    ],
)
def test_what_is_written_is_read_back(outputs):
    signature = Signature((Column("binary", "image"),), outputs, (Param("threshold", "double", 0.5),))
    written = json.loads(json.dumps(signature.to_json()))
    assert Signature.from_json(written) == signature
    assert hash(Signature.from_json(written)) == hash(signature)
    assert is_described(written)


def test_a_column_without_fields_is_written_as_before():
    assert Column("string", "text").to_json() == {"name": "text", "type": "string", "required": True}
    assert Column("object").to_json() == {"type": "object", "required": True}


def test_fields_are_written_in_their_order():
    assert MASK.to_json() == {
        "name": "mask",
        "type": "array",
        "required": False,
        "fields": [{"type": "array", "required": True, "fields": [{"type": "boolean", "required": True}]}],
    }
    assert [field["name"] for field in OBJECTS.to_json()["fields"]] == ["label", "score", "box", "mask"]


def test_a_type_is_described_in_one_line():
    assert Column("double", "score").described() == "double"
    assert MASK.described() == "array of array of boolean"
    assert BOX.described() == "object (xmin: long, ymin: long, xmax: long, ymax: long)"
    assert OBJECTS.described() == (
        f"array of object (label: string, score: double, box: {BOX.described()}, mask: {MASK.described()} (optional))"
    )


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"type": "string", "required": True, "fields": [SCORE]}, "'string' has no fields"),
        ({"type": "any", "required": True, "fields": [DOUBLE]}, "'any' has no fields"),
        ({"type": "object", "required": True, "fields": []}, "Column.fields"),
        ({"type": "object", "required": True, "fields": {"score": "double"}}, "Column.fields"),
        ({"type": "object", "required": True, "fields": None}, "Column.fields"),
        ({"type": "object", "required": True, "fields": ["score"]}, "a column is str"),
        ({"type": "object", "required": True, "fields": [{"name": "score"}]}, "type"),
        ({"type": "object", "required": True, "fields": [{**SCORE, "width": 3}]}, "width"),
        ({"type": "object", "required": True, "fields": [{**SCORE, "required": 1}]}, "Column.required"),
        ({"type": "object", "required": True, "fields": [{**SCORE, "type": "decimal"}]}, "'decimal'"),
        ({"type": "list", "required": True}, "'list'"),
        ("string", "a column is str"),
    ],
)
def test_what_is_no_column_is_refused(column, said):
    with pytest.raises(TypeError, match=said):
        Signature.from_json(document(column))
    assert not is_described(document(column)) or said.startswith("'")  # the schema leaves the names of types open


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([SCORE, SCORE], "different names"),
        ([DOUBLE, SCORE], "different names"),
        ([{**SCORE, "name": ""}], "different names"),
    ],
)
@pytest.mark.parametrize("kind", ["array", "object"])
def test_fields_without_a_name_of_their_own_are_refused(kind, fields, said):
    with pytest.raises(TypeError, match=said):
        Signature.from_json(document({"type": kind, "required": True, "fields": fields}))


def test_an_object_has_no_field_without_a_name_and_an_array_no_optional_items():
    with pytest.raises(TypeError, match="different names"):
        Column("object", fields=(Column("double"),))
    with pytest.raises(TypeError, match="cannot be optional"):
        Column("array", fields=(Column("double", required=False),))


def test_outputs_that_are_no_list_are_refused():
    with pytest.raises(TypeError, match="a list of Column is str"):
        Signature.from_json({"inputs": [], "outputs": "string", "params": []})
