"""Rows of Arrow tables as typed answers: what predict_iter answers, row by row, and the error where it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, PredictionError, UsageError
from hfspec.ir.artifact import Artifact
from hfspec.runtime.io.answers import plain
from tests.compiling import write_spec

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")

from hfspec.batch.columns import RowAnswers, answer_schema, input_columns  # noqa: E402

TEXTS = ["A good film.", None, "bad", ""]
ERROR = pa.struct([("kind", pa.string()), ("message", pa.string())])


@pytest.fixture(scope="module")
def predictor(compiled: Callable[[str], Artifact]) -> Callable[[str], Any]:
    done: dict[str, Any] = {}

    def get(name: str, settings: dict[str, Any] | None = None) -> Any:
        key = f"{name} {settings}"
        if key not in done:
            done[key] = hfspec.load(compiled(name).path, model_config=settings)
        return done[key]

    return get


def test_embeddings_are_lists_of_fixed_size_and_equal_predict_iter(predictor: Callable[[str], Any]) -> None:
    model = predictor("st-dense")
    table = pa.table({"text": TEXTS, "id": [4, 3, 2, 1]})
    found = RowAnswers(model, table.schema).answer(table)
    assert found.schema.names == ["text", "id", "embedding", "error"]
    assert found.schema.field("embedding").type == pa.list_(pa.float32(), 24)
    assert found.schema.field("error").type == ERROR
    assert found.column("text").to_pylist() == TEXTS
    expected = model.predict(["A good film.", "bad", ""])
    mine = [row for row in found.column("embedding").to_pylist() if row is not None]
    np.testing.assert_array_equal(np.array(mine, np.float32), expected)
    assert [row is None for row in found.column("error").to_pylist()] == [True, False, True, True]
    assert found.column("embedding").to_pylist()[1] is None
    said = found.column("error").to_pylist()[1]
    assert said["kind"] == "InputError"
    assert "the value is missing" in said["message"]


@pytest.mark.parametrize("settings", [{"truncate_dim": 8}, {"precision": "binary"}])
def test_settings_decide_the_width_and_the_numbers(predictor: Callable[..., Any], settings: dict[str, Any]) -> None:
    model = predictor("st-dense", settings)
    table = pa.table({"text": ["one", "two"]})
    found = RowAnswers(model, table.schema).answer(table)
    expected = model.predict(["one", "two"])
    kind = found.schema.field("embedding").type
    assert (kind.list_size, kind.value_type) == (expected.shape[1], pa.from_numpy_dtype(expected.dtype))
    assert found.column("embedding").to_pylist() == expected.tolist()


@pytest.mark.parametrize("outputs", ["standard", "full"])
@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("st-dense", None),
        ("bert-sentiment", None),
        ("bert-sentiment", {"top_k": 2}),
        ("gpt2", {"max_new_tokens": 3}),
        ("gpt2", {"max_new_tokens": 3, "num_beams": 2, "num_return_sequences": 2}),
    ],
)
def test_every_answer_is_whole(predictor: Callable[..., Any], name: str, settings: Any, outputs: str) -> None:
    model = predictor(name, settings)
    table = pa.table({"body": ["One film.", "Another, and a better one."]})
    found = RowAnswers(model, table.schema, outputs=outputs, keep=[]).answer(table)
    expected = list(model.predict_iter(table.column("body").to_pylist(), outputs=outputs))
    if found.num_columns == 2:
        answers = found.column(0).to_pylist()
    else:
        answers = found.select(found.schema.names[:-1]).to_pylist()
    assert answers == [plain(each) for each in expected]
    assert found.column("error").null_count == 2


def test_kept_columns_have_their_names_and_answers_give_way(predictor: Callable[[str], Any]) -> None:
    table = pa.table({"text": ["one"], "label": [7], "error": ["mine"], "answer_label": ["x"]})
    schema = answer_schema(predictor("bert-sentiment"), table.schema)
    added = ["answer_answer_label", "score", "answer_error"]
    assert schema.names == ["text", "label", "error", "answer_label", *added]
    assert answer_schema(predictor("bert-sentiment"), table.schema, keep=["text"]).names == [
        "text",
        "label",
        "score",
        "error",
    ]


def test_no_rows_have_the_same_schema(predictor: Callable[[str], Any]) -> None:
    table = pa.table({"text": pa.array([], pa.string())})
    answers = RowAnswers(predictor("st-dense"), table.schema)
    assert answers.answer(table).schema == answers.schema
    assert answers.answer(table).num_rows == 0


def test_more_rows_than_a_window_come_out_in_order(predictor: Callable[[str], Any]) -> None:
    table = pa.table({"text": [f"row {number % 11}" if number % 500 else None for number in range(2500)]})
    found = RowAnswers(predictor("bert-sentiment"), table.schema).answer(table)
    assert found.column("text") == table.column("text")
    assert found.column("error").null_count == 2495
    eleven = predictor("bert-sentiment").predict([f"row {number}" for number in range(11)])["score"].tolist()
    scores = found.column("score").to_pylist()
    for number, score in enumerate(scores):
        assert score is None if number % 500 == 0 else score == pytest.approx(eleven[number % 11], abs=1e-6)


@pytest.mark.parametrize(
    ("columns", "named", "said"),
    [
        ({"body": ["a"], "title": ["b"]}, {}, "--map text=COLUMN"),
        ({"body": ["a"]}, {"txt": "body"}, "reads text, text_pair, not txt"),
        ({"body": ["a"]}, {"text": "bdy"}, "no column bdy; it has body"),
        ({"text": [5]}, {}, "the column text is int64"),
        ({"text": [["a"]]}, {}, "as text"),
    ],
)
def test_what_cannot_be_read_is_refused_before_a_row(
    predictor: Callable[[str], Any], columns: dict[str, Any], named: dict[str, str], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        RowAnswers(predictor("bert-sentiment"), pa.table(columns).schema, columns=named)


def test_other_arguments_are_refused(predictor: Callable[[str], Any]) -> None:
    schema = pa.schema([("text", pa.string())])
    with pytest.raises(UsageError, match="no column id"):
        RowAnswers(predictor("bert-sentiment"), schema, keep=["id"])
    with pytest.raises(ParamsError, match="top_q"):
        RowAnswers(predictor("bert-sentiment"), schema, params={"top_q": 1})
    with pytest.raises(UsageError, match="outputs"):
        RowAnswers(predictor("bert-sentiment"), schema, outputs="fuller")


def test_columns_are_found_by_map_by_name_and_alone(predictor: Callable[[str], Any]) -> None:
    model = predictor("bert-sentiment")
    schema = pa.schema([("body", pa.string()), ("text_pair", pa.large_string()), ("n", pa.int64())])
    assert input_columns(model.manifest, model.task, schema, {"text": "body"}) == {
        "text": "body",
        "text_pair": "text_pair",
    }
    alone = pa.schema([("anything", pa.dictionary(pa.int32(), pa.string()))])
    assert input_columns(model.manifest, model.task, alone, {}) == {"text": "anything"}


def test_a_spec_may_ask_for_the_full_output(
    tmp_path: Any, checkpoint: Callable[[str], Any], shared_folder: Any
) -> None:
    spec = write_spec(tmp_path, checkpoint("bert-sentiment"), outputs="full")
    model = hfspec.load(hfspec.compile(spec, output=tmp_path / "artifact").path)
    schema = answer_schema(model, pa.schema([("text", pa.string())]))
    assert pa.types.is_struct(schema.field("answer").type)


@pytest.fixture
def fails(predictor: Callable[[str], Any]) -> Iterator[Callable[[Callable[[Any], bool], Exception], Any]]:
    """``fails(when, error)``: a predictor whose model raises ``error`` over ids of which ``when`` is true."""
    model = predictor("bert-sentiment")
    hooks: list[Any] = []

    def make(when: Callable[[Any], bool], error: Exception) -> Any:
        def raised(_: Any, __: Any, given: dict[str, Any]) -> None:
            if when(given["input_ids"]):
                raise error

        hooks.append(model.components()["model"].register_forward_pre_hook(raised, with_kwargs=True))
        return model

    yield make
    for hook in hooks:
        hook.remove()


@pytest.mark.parametrize("error", [ValueError("a wrong number"), KeyError("x"), RuntimeError(), InputError("no row")])
def test_whatever_a_row_raises_is_its_error_and_no_other_s(
    fails: Callable[..., Any], predictor: Callable[[str], Any], error: Exception
) -> None:
    texts = [f"a film {number % 5}" for number in range(40)]
    expected = predictor("bert-sentiment").predict(texts)
    poison = predictor("bert-sentiment").components()["tokenizer"]("terrible")["input_ids"][1]
    model = fails(lambda ids: bool((ids == poison).any()), error)
    for at in (0, 17, 39):
        texts[at] = "terrible film"
    table = pa.table({"text": texts})
    found = RowAnswers(model, table.schema).answer(table)
    errors = found.column("error").to_pylist()
    assert [at for at, each in enumerate(errors) if each is not None] == [0, 17, 39]
    assert {each["kind"] for each in errors if each is not None} == {type(error).__name__}
    assert all(each["message"] for each in errors if each is not None)
    scores = found.column("score").to_pylist()
    good = [at for at in range(40) if errors[at] is None]
    np.testing.assert_allclose([scores[at] for at in good], expected["score"][good], atol=1e-6)
    assert scores[17] is None


def test_rows_that_fail_only_together_are_answered(fails: Callable[..., Any]) -> None:
    model = fails(lambda ids: len(ids) > 3, ValueError("too many"))
    table = pa.table({"text": [f"row {number}" for number in range(9)]})
    assert RowAnswers(model, table.schema).answer(table).column("error").null_count == 9


def test_a_model_that_answers_nothing_ends_the_job_and_rows_that_all_fail_do_not(fails: Callable[..., Any]) -> None:
    table = pa.table({"text": ["one", "two"]})
    model = fails(lambda ids: len(ids) == 2 or ids.shape[1] < 4, ValueError("too short"))
    found = RowAnswers(model, table.schema).answer(table)
    assert [each["message"] for each in found.column("error").to_pylist()] == ["too short", "too short"]
    model = fails(lambda _: True, RuntimeError("the GPU has failed"))
    with pytest.raises(PredictionError, match="not even a plain input of its task: RuntimeError: the GPU has failed"):
        RowAnswers(model, table.schema).answer(table)


def test_a_text_that_is_not_utf_8_is_the_error_of_its_row(predictor: Callable[[str], Any]) -> None:
    column = pa.array([b"good", b"\xff\xfe", b"bad"], pa.binary()).view(pa.string())
    found = RowAnswers(predictor("bert-sentiment"), pa.schema([("text", pa.string())])).answer(
        pa.table({"text": column})
    )
    errors = found.column("error").to_pylist()
    assert [each and each["kind"] for each in errors] == [None, "UnicodeDecodeError", None]
