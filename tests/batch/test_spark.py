"""An artifact over a Spark DataFrame, in a real Spark with two workers: the rows that predict answers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hfspec
from hfspec.errors import ParamsError, UsageError
from hfspec.ir.artifact import Artifact

pyspark = pytest.importorskip("pyspark", reason="the extra `spark` is not installed")
if shutil.which("java") is None:
    pytest.skip("there is no Java, which Spark runs in", allow_module_level=True)

import hfspec.spark  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
TEXTS = ["A good film.", "bad", "", None, "one more", "the last of all"]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    patch = pytest.MonkeyPatch()
    patch.setenv("PYSPARK_PYTHON", sys.executable)  # that of the workers
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.memory": "512m",
        "spark.log.level": "ERROR",
    }
    builder = SparkSession.builder.master("local[2]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    yield session
    session.stop()
    patch.undo()


@pytest.fixture(scope="module")
def rows(spark: Any) -> Any:
    return spark.createDataFrame(list(enumerate(TEXTS)), "id int, text string").repartition(3).cache()


def test_embeddings_are_typed_and_those_of_predict(spark: Any, rows: Any, compiled: Callable[[str], Artifact]) -> None:
    artifact = compiled("st-dense").path
    found = hfspec.spark.predict(rows, artifact, keep=["id"])
    assert (
        found.schema.simpleString() == "struct<id:int,embedding:array<float>,error:struct<kind:string,message:string>>"
    )
    answers = {row.id: row for row in found.collect()}
    assert sorted(answers) == list(range(len(TEXTS)))
    expected = hfspec.load(artifact).predict([text for text in TEXTS if text is not None])
    good = [answers[at].embedding for at, text in enumerate(TEXTS) if text is not None]
    np.testing.assert_allclose(np.array(good, np.float32), expected, atol=1e-6)
    assert answers[3].embedding is None
    assert answers[3].error.kind == "InputError"
    assert "missing" in answers[3].error.message


def test_an_artifact_is_sent_to_the_executors(
    spark: Any, rows: Any, compiled: Callable[[str], Artifact], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(compiled("bert-sentiment").path, tmp_path / "here"))
    found = hfspec.spark.predict(rows.withColumnRenamed("text", "body"), folder, columns={"text": "body"}, ship=True)
    shutil.rmtree(folder)
    answers = {row.id: row.label for row in found.collect() if row.error is None}
    good = [at for at, text in enumerate(TEXTS) if text is not None]
    expected = hfspec.load(compiled("bert-sentiment").path).predict([TEXTS[at] for at in good])
    assert [answers[at] for at in good] == list(expected["label"])


def test_another_artifact_at_the_path_is_refused(
    rows: Any, compiled: Callable[[str], Artifact], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(compiled("st-dense").path, tmp_path / "one"))
    found = hfspec.spark.predict(rows, folder)
    shutil.rmtree(folder)
    shutil.copytree(compiled("bert-sentiment").path, folder)
    with pytest.raises(Exception, match="is another artifact here than on the driver"):
        found.collect()


def test_what_cannot_be_asked_is_told_before_any_row_is_read(rows: Any, compiled: Callable[[str], Artifact]) -> None:
    artifact = compiled("st-dense").path
    with pytest.raises(UsageError, match="no column nothing"):
        hfspec.spark.predict(rows, artifact, columns={"text": "nothing"})
    with pytest.raises(UsageError, match="no column id2"):
        hfspec.spark.predict(rows, artifact, keep=["id2"])
    with pytest.raises(ParamsError, match="no_such"):
        hfspec.spark.predict(rows, artifact, params={"no_such": 1})
