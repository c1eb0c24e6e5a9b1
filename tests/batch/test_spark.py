"""An artifact over a Spark DataFrame, in a real Spark with two workers: the rows that predict answers."""

from __future__ import annotations

import io
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
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

import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

import hfspec.spark  # noqa: E402
from hfspec.batch.job import Job  # noqa: E402
from hfspec.batch.run import run  # noqa: E402
from hfspec.batch.spans import Sizes  # noqa: E402
from tests.compiling import tree_of  # noqa: E402

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


@pytest.mark.parametrize("name", ["st-dense", "bert-sentiment", "gpt2"])
def test_mlflow_gives_the_same_rows_with_our_type(
    spark: Any, rows: Any, compiled: Callable[[str], Artifact], name: str
) -> None:
    mlflow = pytest.importorskip("mlflow")
    artifact = compiled(name).path
    kind = hfspec.spark.result_type(artifact)
    function = mlflow.pyfunc.spark_udf(spark, str(artifact), result_type=kind, env_manager="local")
    good = rows.where("text is not null and text != ''")
    theirs = {row.id: row.answer for row in good.select("id", function("text").alias("answer")).collect()}
    columns = {"prompt": "text"} if name == "gpt2" else None
    found = hfspec.spark.predict(good, artifact, columns=columns, keep=["id"])
    ours = {row.id: row for row in found.drop("error").collect()}
    assert len(ours) == len(theirs) == 4
    for number, mine in ours.items():
        values = [value for column, value in mine.asDict().items() if column != "id"]
        others = [theirs[number]] if len(values) == 1 else list(theirs[number])
        for value, other in zip(values, others, strict=True):
            assert value == (other if isinstance(value, str) else pytest.approx(other, abs=1e-6))


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory, compiled: Callable[[str], Artifact]) -> Job:
    folder = tmp_path_factory.mktemp("job")
    texts = [None if number % 97 == 5 else f"row {number % 13} of many" for number in range(600)]
    table = pa.table({"id": range(600), "body": texts})
    pq.write_table(table, folder / "in.parquet", row_group_size=60)
    artifact = str(compiled("st-dense").path)
    given = {"columns": {"text": "body"}, "sizes": Sizes(60, 4000), "threads": 1}
    run(Job(artifact, (str(folder / "in.parquet"),), str(folder / "local"), **given))
    return Job(artifact, (str(folder / "in.parquet"),), str(folder / "local"), engine="spark", **given)


def test_a_batch_that_was_stopped_goes_on_by_another_engine(spark: Any, job: Job, tmp_path: Path) -> None:
    stop = threading.Event()
    stopped = run(replace(job, output=str(tmp_path / "out")), stop=stop, tell=lambda _: stop.set())
    assert stopped.manifest is None
    assert 0 < stopped.parts < 10
    run(replace(job, engine="local", output=str(tmp_path / "out")))
    assert tree_of(tmp_path / "out") == tree_of(Path(job.output))
    assert run(replace(job, output=str(tmp_path / "out"))).did_nothing


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"params": {"no_such": 1}}, ParamsError, "no_such"),
        ({"gpus": 1.0}, UsageError, "gpus is for a cluster, and the engine is spark; give --engine ray"),
        ({"inputs": ("-",)}, UsageError, "standard input"),
        ({"keep": ("ids",)}, UsageError, "no column ids"),
    ],
)
def test_a_batch_that_cannot_be_is_told(
    spark: Any, job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any], error: Any, said: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"body": "x"}')))
    with pytest.raises(error, match=said):
        run(replace(job, output=str(tmp_path / "out"), **more))
    assert not list((tmp_path / "out").glob("part-*"))


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
    with pytest.raises(ParamsError, match="no_such"):
        hfspec.spark.result_type(artifact, {"no_such": 1})
