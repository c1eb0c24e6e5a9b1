"""Objects in answers, such as boxes and masks: tables, JSON, and the check of every field."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from hfspec.errors import InputError, OutputError
from hfspec.inputs.cells import checked
from hfspec.ir.signature import Column
from hfspec.runtime.golden.difference import differences
from hfspec.runtime.io.answers import Table, plain, to_json
from hfspec.runtime.io.output_check import check_output
from tests.detections import OBJECTS, OUTPUTS, SIDES, cat, table

NAN, INFINITY = float("nan"), float("inf")
POINTS = Column("array", "points", fields=(Column("array", fields=(Column("double"),)),))


def box(**others):
    return {**dict.fromkeys(SIDES, 3), **others}


def without(name):
    return {key: value for key, value in cat().items() if key != name}


def check(answer, outputs=OUTPUTS):
    check_output(answer, outputs, "float16")


def test_a_table_becomes_a_frame_whose_cells_are_the_objects():
    first, second = cat(), cat(label="dog")
    made = table(first, second, best=first).to_pandas()
    assert list(made.columns) == ["row", "objects", "best"]
    assert list(made.dtypes.astype(str)) == ["int64", "object", "object"]
    assert made["objects"][0] == []
    assert made["objects"][1][1] is second
    assert made["best"][0] is None
    assert made["best"][1] is first


@pytest.mark.parametrize("count", [1, 2])
def test_cells_of_equal_shapes_stay_cells(count):
    cells = [np.ones((2, 3)) for _ in range(count)]
    made = Table({"mask": "array"}, tuple((cell,) for cell in cells)).to_pandas()
    assert made.shape == (count, 1)
    assert all(one is other for one, other in zip(made["mask"], cells, strict=True))


def test_a_table_without_rows_keeps_its_types():
    made = Table({"objects": "array", "is_thing": "boolean"}, ()).to_pandas()
    pd.testing.assert_frame_equal(
        made, pd.DataFrame({"objects": pd.Series([], dtype=object), "is_thing": pd.Series([], dtype=bool)})
    )
    check(Table({"row": "long", "objects": "array", "best": "object"}, ()))


def test_an_answer_in_json_has_lists_for_arrays():
    answer = table(cat(score=np.float32(0.75)), best=cat(mask=None))
    expected = [
        {"row": 0, "objects": [], "best": None},
        {"row": 7, "objects": [cat(mask=[[True, False]])], "best": cat(mask=None)},
    ]
    assert to_json(answer) == to_json(answer.to_pandas()) == expected
    assert json.loads(json.dumps(to_json(answer), allow_nan=False)) == expected


@pytest.mark.parametrize(
    "found",
    [
        cat(),
        cat(mask=None),
        without("mask"),
        cat(mask=[[True], [False]]),
        cat(mask=[np.array([True])]),
        cat(mask=np.zeros((0, 0), bool)),
        cat(score=np.float32(0.5), box=box(xmin=np.int64(3))),
        cat(label=np.str_("cat"), score=0.0),
        dict(reversed(cat().items())),
    ],
)
def test_objects_of_the_declared_fields_are_answers(found):
    check(table(found, cat(), best=found))


WRONG = [
    (cat(score="0.75"), r"score is double, but it is string"),
    (cat(score=1), r"score is double, but it is long"),
    (cat(score=None), r"score is double, but it is null"),
    (cat(label=b"cat"), r"label is string, but it is binary"),
    (cat(box=box(xmin=1.0)), r"box.xmin is long, but it is double"),
    (cat(box=box(ymax=True)), r"box.ymax is long, but it is boolean"),
    (cat(box=box(ymax=2**63)), r"box.ymax is long, but 9223372036854775808 is too large"),
    (cat(box={"xmin": 1}), r"box has 'ymin', but it has none"),
    (cat(box=box(depth=1)), r"box is object \(xmin: long.*\), but it has 'depth'"),
    (cat(box=[1, 2, 3, 4]), r"box is object .* but it is list"),
    (without("label"), r" has 'label', but it has none"),
    (cat(area=3), r" is object .* but it has 'area'"),
    (cat(mask=np.ones((1, 2))), r"mask is array of array of boolean, but it is an array of float64 with 2 dimensions"),
    (cat(mask=np.array([True])), r"mask is array .* but it is an array of bool with 1 dimensions"),
    (cat(mask=np.ones((1, 1, 1), bool)), r"mask is array .* but it is an array of bool with 3 dimensions"),
    (cat(mask=[[1]]), r"mask\[0\]\[0\] is boolean, but it is long"),
    (cat(mask="1010"), r"mask is array of array of boolean, but it is string"),
    ("cat", r" is object .* but it is string"),
    (cat(score=NAN), r"nan or infinity in {at}\.score, .*float16.*float32"),
    (cat(score=np.float16(INFINITY)), r"nan or infinity in {at}\.score"),
    (cat(box=box(xmin=-INFINITY)), r"nan or infinity in {at}\.box\.xmin"),
    (cat(mask=np.array([[1.0, NAN]])), r"nan or infinity in {at}\.mask\[0\]\[1\]"),
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_other_objects_are_refused_with_row_and_field(wrong, said):
    place = r"objects\[1\]"
    expected = said.replace("{at}", place) if "{at}" in said else f"the signature says {place}.?{said.lstrip()}"
    with pytest.raises(OutputError, match=f"^row 7: .*{expected}"):
        check(table(cat(), wrong))
    expected = said.replace("{at}", "best") if "{at}" in said else f"the signature says best.?{said.lstrip()}"
    with pytest.raises(OutputError, match=f"^row 7: .*{expected}"):
        check(table(best=wrong))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Table({"row": "long", "best": "object"}, ((0, None),)), "has a column 'objects'"),
        (Table({"row": "long", "objects": "string"}, ((0, "cat"),)), "'objects' is array, but it is string"),
        (Table({"row": "long", "objects": "array"}, ((4, cat()),)), "row 4: .*objects is array .* but it is dict"),
        (Table({"row": "long", "objects": "array"}, ((4, None),)), "row 4: .*objects is array .* but it is null"),
        ([[cat()]], "3 output columns, but the task answers a list"),
    ],
)
def test_a_table_without_the_column_is_refused(answer, said):
    with pytest.raises(OutputError, match=said):
        check(answer)


def test_an_optional_column_may_be_left_out():
    check(Table({"row": "long", "objects": "array"}, ((0, [cat()]),)))


def test_without_a_column_row_the_line_is_the_row():
    with pytest.raises(OutputError, match=r"^row 1: .*objects\[0\]\.score"):
        check(Table({"objects": "array"}, (([],), ([cat(score="1")],))), (OBJECTS,))


def test_a_list_with_the_objects_of_each_row_is_an_answer():
    outputs = (Column("array", fields=OBJECTS.fields),)
    check([[], [cat(), cat()]], outputs)
    with pytest.raises(OutputError, match=r"^row 1: .*the answer\[0\]\.score is double, but it is string"):
        check([[], [cat(score="1")]], outputs)
    with pytest.raises(OutputError, match=r"^row 1: .*nan or infinity in the answer\[0\]\.score"):
        check([[], [cat(score=NAN)]], outputs)
    with pytest.raises(OutputError, match=r"^row 0: .*the answer is array"):
        check(["cat"], outputs)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (POINTS, np.ones((3, 2))),
        (POINTS, np.ones((3, 2), np.float16)),
        (POINTS, [[0.5, 1.0], []]),
        (Column("array", "points"), np.ones((3, 2))),
        (Column("array", "points"), ["anything", 1]),
        (Column("array", "points", fields=(Column("integer"),)), np.array([1, -(2**31)])),
        (Column("array", "points", fields=(Column("float"),)), [0.5]),
        (Column("array", "points", fields=(Column("any"),)), [None, "x"]),
        (Column("object", "points"), {"anything": [1]}),
    ],
)
def test_arrays_of_values(column, value):
    check(Table({"points": column.type}, ((value,),)), (column,))


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        (POINTS, np.ones((3, 2), int), "an array of int64 with 2 dimensions"),
        (POINTS, [[1]], r"points\[0\]\[0\] is double, but it is long"),
        (POINTS, np.array([[0.5, NAN]]), r"nan or infinity in points\[0\]\[1\]"),
        (Column("array", "points"), "text", "points is array, but it is string"),
        (Column("array", "points"), [{"x": INFINITY}], r"nan or infinity in points\[0\]\.x"),
        (Column("array", "points", fields=(Column("integer"),)), np.array([1, 2**31]), "too large"),
        (Column("array", "points", fields=(Column("integer"),)), [2**31], "too large"),
        (Column("array", "points", fields=(Column("long"),)), np.array([2**63], np.uint64), "too large"),
        (Column("object", "points"), [], "points is object, but it is list"),
    ],
)
def test_other_values_are_refused(column, value, said):
    with pytest.raises(OutputError, match=f"row 0: .*{said}"):
        check(Table({"points": column.type}, ((value,),)), (column,))


def test_golden_answers_compare_nested_numbers_within_the_tolerance():
    expected = to_json(table(cat()))
    near, far = table(cat(score=0.7504)), table(cat(score=0.7604, box=box(xmin=2, ymin=2, xmax=30, ymax=40)))
    assert list(differences(expected, plain(near), 0.001)) == []
    found = [(one.path, one.size) for one in differences(expected, plain(far), 0.001)]
    assert [path for path, _ in found] == [(1, "objects", 0, "score"), (1, "objects", 0, "box", "xmin")]
    assert [size for _, size in found] == [pytest.approx(0.0104), 1]
    flipped = plain(table(cat(mask=np.array([[True, True]]))))
    assert [one.path for one in differences(expected, flipped, 0.001)] == [(1, "objects", 0, "mask", 0, 1)]
    assert len(list(differences(expected, plain(table(cat(score=NAN))), 0.001))) == 1


@pytest.mark.parametrize("value", [[], [1, "x"], [{"x": 1}], (0.5,)])
def test_a_column_of_arrays_takes_lists(value):
    assert checked(value, Column("array", "found"), 0) is value


@pytest.mark.parametrize("value", ["[1]", {"x": 1}, 1, None])
def test_a_column_of_arrays_takes_nothing_else(value):
    with pytest.raises(InputError, match="row 3: column 'found': "):
        checked(value, Column("array", "found"), 3)
