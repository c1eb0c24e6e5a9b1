"""The outputs that a spec declares: of a task with objects in its answers, and of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hfspec.checkpoint.signature import signature
from hfspec.comparison.parts import signature_parts
from hfspec.errors import SpecError
from hfspec.ir.signature import Column
from hfspec.report.signature import describe
from hfspec.stages.load import load
from hfspec.stages.validate import validate
from hfspec.tasks import table
from tests.detections import BOX, OBJECTS, OUTPUTS

TASK = table.find("transformers", "image-classification")
assert TASK is not None
DETECTION = replace(TASK, outputs=OUTPUTS)


@pytest.fixture
def outputs_of(tmp_path):
    """``outputs_of(task, outputs)``: what the signature says of a spec with these outputs, written as YAML."""

    def get(task, outputs=None, **side):
        declared = {} if outputs is None else {"outputs": outputs}
        file = tmp_path / "spec.yaml"
        lines = ["spec_version: 1", "library: transformers", f"task: {TASK.name}", "model: {repo: org/model}"]
        if declared or side:
            lines += ["signature:", *(f"  {name}: {text}" for name, text in {**declared, **side}.items())]
        file.write_text("\n".join(lines) + "\n")
        return signature(validate(load(file, ())), task, None)

    return get


def test_a_task_with_objects_says_their_fields(outputs_of):
    assert outputs_of(DETECTION).outputs == OUTPUTS


def test_a_spec_that_names_the_column_keeps_its_fields(outputs_of):
    declared = outputs_of(DETECTION, "[{name: objects, type: array}]")
    assert declared.outputs == (OBJECTS,)
    optional = outputs_of(DETECTION, "[{name: objects, type: array, required: false}]")
    assert optional.outputs == (replace(OBJECTS, required=False),)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ("[{name: found, type: array}]", Column("array", "found")),
        ("[{name: objects, type: object}]", Column("object", "objects")),
        ("[{type: array}]", Column("array")),
    ],
)
def test_another_column_has_no_fields(outputs_of, outputs, expected):
    assert outputs_of(DETECTION, outputs).outputs == (expected,)
    assert outputs_of(TASK, outputs).outputs == (expected,)


@pytest.mark.parametrize(
    ("outputs", "path"),
    [
        ("[{name: objects, type: array, fields: [{name: label, type: string}]}]", "fields"),
        ("[{name: objects, type: list}]", "type"),
        ("[{name: objects, type: [array, object]}]", "type"),
    ],
)
def test_what_a_spec_cannot_say_of_objects_is_refused(outputs_of, outputs, path):
    with pytest.raises(SpecError) as caught:
        outputs_of(DETECTION, outputs)
    (problem,) = caught.value.problems
    assert problem.path[:3] == ("signature", "outputs", 0)
    assert path in str(problem)


def test_a_report_shows_the_fields(outputs_of):
    said = describe(outputs_of(DETECTION))
    assert f"objects: {OBJECTS.described()}, best: object (label: string" in said
    assert BOX.described() in said
    assert "(optional)" in said


def test_two_artifacts_with_other_fields_differ(outputs_of):
    own = outputs_of(DETECTION)
    other = replace(own, outputs=(replace(OBJECTS, fields=OBJECTS.fields[:-1]),))
    assert signature_parts(own)["outputs"]["objects"] == OBJECTS.described()
    assert signature_parts(other)["outputs"]["objects"] != OBJECTS.described()
