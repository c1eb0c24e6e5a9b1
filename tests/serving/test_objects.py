"""Objects in answers as they are served: the schema of OpenAPI, and tensors of the Open Inference Protocol."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest

from hfspec.ir.artifact import Deployment, Manifest
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column, Signature
from hfspec.runtime.io.answers import to_json
from hfspec.serving.protocols import schemas
from hfspec.serving.protocols.v2 import tensors
from tests.detections import BEST, OBJECTS, OUTPUTS, cat, table


def manifest(*outputs):
    empty = FrozenDict()
    deployment = Deployment(
        "transformers", "image-classification", "", "", "float32", "standard", None, empty, empty, empty, empty
    )
    signature = Signature((Column("binary", "image"),), outputs)
    return Manifest("detector", "", (), deployment, signature, (), empty, empty, empty)


def is_described(answer, *outputs):
    schema = schemas.predictions(manifest(*outputs))["anyOf"][0]
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).is_valid(answer)


def lines(found):
    return [{"row": 0, "objects": [found, cat(mask=None)], "best": found}]


GOOD = [cat(mask=[[True, False]]), cat(mask=[]), cat(mask=None), {k: v for k, v in cat().items() if k != "mask"}]
WRONG = [
    cat(mask=None, score="high"),
    cat(mask=None, score=None),
    cat(mask=[[1]]),
    cat(mask=[True]),
    cat(mask=None, box={"xmin": 1}),
    cat(mask=None, area=3),
    {"label": "cat"},
    "cat",
]


@pytest.mark.parametrize("found", GOOD)
def test_openapi_describes_the_objects(found):
    assert is_described(lines(found), *OUTPUTS)


@pytest.mark.parametrize("found", WRONG)
def test_openapi_does_not_describe_other_objects(found):
    assert not is_described(lines(found), *OUTPUTS)


def test_openapi_describes_what_tables_become():
    assert is_described(to_json(table(cat(), cat(), best=cat())), *OUTPUTS)
    assert is_described([{"objects": [cat(mask=None)]}], OBJECTS)
    assert not is_described([{"objects": None}], OBJECTS)
    assert not is_described([{"objects": cat(mask=None)}], OBJECTS)


def test_openapi_describes_a_column_without_a_name():
    column = Column("array", fields=OBJECTS.fields)
    whole = schemas.predictions(manifest(column))
    assert whole["anyOf"][0] == schemas.column_schema(OBJECTS)
    assert is_described([cat(mask=None)], column)
    assert not is_described([cat(score="1", mask=None)], column)


def test_arrays_and_objects_without_fields_hold_anything():
    assert is_described([{"found": {"anything": [1]}}], Column("object", "found"))
    assert is_described([{"found": [1, "x"]}], Column("array", "found"))
    assert not is_described([{"found": "x"}], Column("array", "found"))


def test_a_tensor_of_objects_is_a_text_of_json_a_row():
    described = tensors.outputs(manifest(*OUTPUTS).signature)
    assert [(one.name, one.datatype, one.shape, one.required) for one in described] == [
        ("row", "INT64", (-1,), True),
        ("objects", "BYTES", (-1,), True),
        ("best", "BYTES", (-1,), False),
    ]
    answer = table(cat(), best=cat(mask=np.ones((2, 2), bool)))
    for form in (answer.records(), to_json(answer)):
        rows, objects, best = tensors.of_answer(form, described)
        assert rows.values.tolist() == [0, 7]
        assert (objects.datatype, objects.shape) == ("BYTES", (2,))
        assert [json.loads(text) for text in tensors.to_json(objects)] == [[], [cat(mask=[[True, False]])]]
        assert [json.loads(text) for text in tensors.to_json(best)] == [None, cat(mask=[[True, True]] * 2)]
        assert tensors.to_bytes(objects).endswith(objects.values[1])


@pytest.mark.parametrize("answer", [[], [{"objects": []}], [{"objects": [cat(mask=None)]}, {"objects": []}]])
def test_a_single_column_of_objects_is_one_tensor(answer):
    (given,) = tensors.of_answer(answer, tensors.outputs(manifest(OBJECTS).signature))
    assert (given.name, given.datatype, given.shape) == ("objects", "BYTES", (len(answer),))
    assert [json.loads(text) for text in given.values] == [row["objects"] for row in answer]


def test_a_column_without_a_name_is_one_tensor_with_the_objects_of_each_row():
    described = tensors.outputs(manifest(Column("array", fields=BEST.fields)).signature)
    (given,) = tensors.of_answer([[], [cat(), cat()]], described)
    assert (given.name, given.shape) == ("output", (2,))
    assert [len(json.loads(text)) for text in given.values] == [0, 2]


def test_the_tensors_of_an_answer_are_described():
    schema = schemas.infer_answer(manifest(*OUTPUTS))
    tensor = {"name": "objects", "shape": [1], "datatype": "BYTES", "data": ["[]"]}
    body = {"model_name": "detector", "outputs": [tensor]}
    jsonschema.Draft202012Validator(schema).validate(body)
    body["outputs"] = [{**tensor, "name": "boxes"}]
    assert not jsonschema.Draft202012Validator(schema).is_valid(body)


def test_a_tensor_of_json_becomes_a_list_and_other_texts_stay():
    described = tensors.inputs(Signature((Column("array", "found"),), ()))
    given = tensors.from_json("found", "BYTES", (3,), ["[1, 2]", '[{"x": 1}]', "[1"])
    assert tensors.rows([given], described) == [{"found": [1, 2]}, {"found": [{"x": 1}]}, {"found": "[1"}]
