"""The example of tables that other libraries have: what predict answers, row by row."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest

import hfspec
from hfspec.ir.artifact import Artifact

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")

TEXTS = ["A good film.", None, "bad", "", "one more"]
GOOD = [at for at, text in enumerate(TEXTS) if text is not None]


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", Path(__file__).parents[2] / "examples" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def artifact(compiled: Callable[[str], Artifact]) -> Path:
    return compiled("bert-sentiment").path


@pytest.fixture(scope="module")
def expected(artifact: Path) -> Any:
    return hfspec.load(artifact).predict([TEXTS[at] for at in GOOD])


def assert_answered(rows: list[dict[str, Any]], expected: Any) -> None:
    assert [row["text"] for row in rows] == TEXTS
    assert [rows[at]["label"] for at in GOOD] == expected["label"].tolist()
    assert [rows[at]["score"] for at in GOOD] == pytest.approx(expected["score"].tolist(), abs=1e-6)
    assert [row["error"] and row["error"]["kind"] for row in rows] == [None, "InputError", None, None, None]
    assert rows[1]["label"] is None


def _package(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    if folder := os.environ.get("HFSPEC_TEST_PACKAGES"):
        monkeypatch.syspath_prepend(folder)
    return pytest.importorskip(name, reason=f"{name} is not installed, nor does HFSPEC_TEST_PACKAGES name its folder")


def test_a_frame_of_polars(example: ModuleType, artifact: Path, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pl = _package("polars", monkeypatch)
    found = example.over_frame(artifact, pl.DataFrame({"text": TEXTS, "id": range(len(TEXTS))}))
    assert found["id"].to_list() == list(range(len(TEXTS)))
    assert found.schema["score"] == pl.Float64
    assert_answered(found.to_dicts(), expected)


def test_a_dataset_of_the_hub_s_library(
    example: ModuleType, artifact: Path, expected: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    datasets = _package("datasets", monkeypatch)
    found = example.over_dataset(artifact, datasets.Dataset.from_dict({"text": TEXTS, "id": range(len(TEXTS))}))
    assert found.features["score"].dtype == "float64"
    rows = found.with_format(None).to_list()
    assert [row["id"] for row in rows] == list(range(len(TEXTS)))
    assert_answered(
        [{**row, "error": row["error"] if any((row["error"] or {}).values()) else None} for row in rows], expected
    )


def test_the_rows_of_a_query(example: ModuleType, artifact: Path, expected: Any) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    connection = duckdb.connect()
    connection.register("given", pa.table({"body": TEXTS, "id": range(len(TEXTS))}))
    rows = connection.sql("select id, body as text from given order by id")
    found = connection.cursor().from_arrow(example.over_relation(artifact, rows))
    assert_answered(found.to_arrow_table().to_pylist(), expected)


def test_a_function_of_sql(example: ModuleType, artifact: Path, expected: Any) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")
    connection = duckdb.connect()
    connection.register("given", pa.table({"body": TEXTS}))
    example.as_function(artifact, connection, "sentiment", "label")
    found = [row[0] for row in connection.sql("select sentiment(body) from given").fetchall()]
    assert (found[1], [found[at] for at in GOOD]) == (None, expected["label"].tolist())


def test_a_file_by_chunks_of_pandas(example: ModuleType, artifact: Path, expected: Any, tmp_path: Path) -> None:
    texts = [text for text in TEXTS if text]
    pd.DataFrame({"text": texts * 5}).to_csv(tmp_path / "in.csv", index=False)
    found = pd.concat(example.by_chunks(artifact, tmp_path / "in.csv", rows=4))
    assert found.index.tolist() == list(range(15))
    labels = dict(zip(GOOD, expected["label"], strict=True))
    assert found["label"].tolist() == [labels[TEXTS.index(text)] for text in texts] * 5
