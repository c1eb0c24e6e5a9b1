"""Objects in outputs as MLflow types them: ``MLmodel`` says what the installed MLflow makes of its own classes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, Schema
from mlflow.types.schema import AnyType, Array, DataType, Object, Property

import hfspec
from hfspec.artifact.mlmodel import mlmodel
from hfspec.ir.signature import Column, Signature
from hfspec.runtime.io.answers import to_json
from tests.compiling import write_spec
from tests.detections import BEST, OBJECTS, OUTPUTS, SIDES, cat, table

BOX = Object([Property(name, DataType.long) for name in SIDES])
DETECTED = Object(
    [
        Property("label", DataType.string),
        Property("score", DataType.double),
        Property("box", BOX),
        Property("mask", Array(Array(DataType.boolean)), required=False),
    ]
)


@pytest.fixture
def written(tmp_path, checkpoint):
    """``written(outputs)``: the signature in the MLmodel file of a plan with these outputs."""
    plan = hfspec.plan(write_spec(tmp_path, checkpoint("bert-sentiment")))

    def get(*outputs):
        signature = Signature((Column("binary", "image"),), outputs)
        return mlmodel(replace(plan, signature=signature), [])["signature"]

    return get


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (OBJECTS, ColSpec(Array(DETECTED), "objects")),
        (BEST, ColSpec(DETECTED, "best", required=False)),
        (Column("array", fields=OBJECTS.fields), ColSpec(Array(DETECTED))),
        (Column("array", "names", fields=(Column("string"),)), ColSpec(Array(DataType.string), "names")),
        (Column("array", "found", fields=(Column("any"),)), ColSpec(Array(AnyType()), "found")),
        (Column("array", "found"), ColSpec(Array(AnyType()), "found")),
        (Column("object", "found"), ColSpec(AnyType(), "found")),
        (Column("object", "found", fields=(Column("object", "about"),)), None),
        (Column("string", "label"), ColSpec(DataType.string, "label")),
    ],
)
def test_a_column_is_written_as_mlflow_writes_it(written, column, expected):
    if expected is None:
        expected = ColSpec(Object([Property("about", AnyType())]), "found")
    text = written(column)["outputs"]
    assert json.loads(text) == Schema([expected]).to_dict()
    assert Schema.from_json(text) == Schema([expected])


@pytest.mark.filterwarnings("ignore:Hint. Inferred schema contains integer")
def test_mlflow_infers_the_same_types_from_answers(written):
    answers = to_json(table(cat(), cat(), best=cat()))[1:]
    inferred = infer_signature([{"image": b""}], answers).outputs
    own = ModelSignature.from_dict(written(*(required(column) for column in OUTPUTS))).outputs
    assert own == inferred


def required(column):
    """The column and its fields without what is optional, which one answer does not show."""
    return replace(column, required=True, fields=tuple(required(one) for one in column.fields))


def test_types_that_mlflow_tells_apart_are_told_apart(written):
    signature = ModelSignature.from_dict(written(OBJECTS)).outputs
    others = [
        replace(OBJECTS, fields=OBJECTS.fields[:-1]),
        replace(OBJECTS, fields=(*OBJECTS.fields, Column("long", "area"))),
        replace(OBJECTS, type="object"),
        replace(OBJECTS, name="found"),
    ]
    for other in others:
        assert ModelSignature.from_dict(written(other)).outputs != signature
