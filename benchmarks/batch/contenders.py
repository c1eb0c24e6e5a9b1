"""The contenders of benchmarks/batch: each answers all rows of one Parquet file, in a process of its own.

    python -m benchmarks.batch.contenders NAME FOLDER PATHS       (PATHS: the other fields of Given, as JSON)

It touches FOLDER/began before the first row, when a model is loaded, and FOLDER/ended after the last is written to
FOLDER/out; then it prints how many rows are there, and waits for a line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHUNK = 1024  # rows of a batch of Ray's, and of a chunk of pandas'
PART = 1000  # rows of a part, where several workers share them
VECTOR = "array<float>"


@dataclass(frozen=True)
class Given:
    """``artifact``: MiniLM's; ``flavor``: the same as MLflow saves it; ``checkpoint``: what both are made of."""

    artifact: str
    flavor: str
    checkpoint: str
    source: str
    folder: Path

    @property
    def output(self) -> str:
        return str(self.folder / "out")

    def begin(self) -> None:
        """The first row is at hand; of several workers the first tells it."""
        if not (self.folder / "began").exists():
            (self.folder / "began").touch(exist_ok=True)


def loop(given: Given) -> None:
    """predict_iter over the file's rows; nothing is written."""
    import pyarrow.parquet as pq

    import hfspec

    predictor = hfspec.load(given.artifact)
    batches = pq.ParquetFile(given.source).iter_batches(8192, columns=["text"])
    texts = (text for batch in batches for text in batch.column(0).to_pylist())
    given.begin()
    for _answer in predictor.predict_iter(texts):
        pass


def pandas_chunks(given: Given) -> None:
    """MLflow's pyfunc over data frames of CHUNK rows, each written to Parquet."""
    import mlflow
    import pyarrow as pa
    import pyarrow.parquet as pq

    model = mlflow.pyfunc.load_model(given.flavor)
    schema = pa.schema([("id", pa.int64()), ("text", pa.string()), ("embedding", pa.list_(pa.float32()))])
    given.begin()
    with pq.ParquetWriter(given.output, schema) as writer:
        for batch in pq.ParquetFile(given.source).iter_batches(CHUNK):
            frame = batch.to_pandas()
            frame["embedding"] = list(model.predict(frame["text"]))
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))


def batch(given: Given, engine: str = "local", size: int = 100_000, **keys: Any) -> None:
    """`hfspec batch`: its journal begins when the first worker has loaded the artifact."""
    from hfspec.batch.job import Job
    from hfspec.batch.journal import Journal
    from hfspec.batch.run import run
    from hfspec.batch.spans import Sizes

    begin = Journal.begin

    def begun(*arguments: Any) -> Any:
        given.begin()
        return begin(*arguments)

    Journal.begin = begun  # type: ignore[method-assign]
    run(Job(given.artifact, (given.source,), given.output, engine=engine, sizes=Sizes(size), **keys))


class Encoder:
    """An actor of Ray Data with the model of sentence-transformers."""

    def __init__(self, given: Given) -> None:
        from sentence_transformers import SentenceTransformer

        self.model, self.given = SentenceTransformer(given.checkpoint, device="cpu"), given

    def __call__(self, rows: dict[str, Any]) -> dict[str, Any]:
        self.given.begin()
        return {**rows, "embedding": self.model.encode(list(rows["text"]), show_progress_bar=False)}


def _cluster(cores: int) -> Any:
    """Ray itself, with a node of so many cores in this network."""
    import ray

    logging.getLogger("ray").setLevel(logging.WARNING)
    memory = 200 << 20
    options = {"num_cpus": cores, "include_dashboard": False, "object_store_memory": memory, "log_to_driver": False}
    ray.init(**options, _node_ip_address="127.0.0.1")
    return ray


def ray_encode(given: Given, workers: int = 2) -> None:
    """Ray Data: actors with sentence-transformers' own encode, a core each."""
    ray = _cluster(workers + 1)  # Ray Data reads and writes beside them
    data = ray.data.read_parquet(given.source).repartition(target_num_rows_per_block=CHUNK)
    pool = ray.data.ActorPoolStrategy(size=workers)
    answered = data.map_batches(Encoder, fn_constructor_args=(given,), batch_size=CHUNK, compute=pool, num_cpus=1)
    answered.write_parquet(given.output)


def ray_predict(given: Given, workers: int = 2) -> None:
    """Ray Data with hfspec.ray.Predict, a core each."""
    import hfspec.ray

    class Predict(hfspec.ray.Predict):
        def __call__(self, rows: Any) -> Any:
            given.begin()
            return super().__call__(rows)

    ray = _cluster(workers + 1)  # Ray Data reads and writes beside them
    data = ray.data.read_parquet(given.source).repartition(target_num_rows_per_block=CHUNK)
    pool = ray.data.ActorPoolStrategy(size=workers)
    options = {"batch_format": "pyarrow", "batch_size": CHUNK, "compute": pool, "num_cpus": 1}
    data.map_batches(Predict, fn_constructor_args=(given.artifact,), **options).write_parquet(given.output)


def ray_batch(given: Given, workers: int = 2) -> None:
    """`hfspec batch --engine ray`, workers of a core each."""
    _cluster(workers)
    batch(given, "ray", PART, replicas=workers, threads=1)


def _session(workers: int) -> Any:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{workers}]")
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _by_spark(given: Given, workers: int, answered: Callable[[Any, Any], Any]) -> None:
    """Write what is answered, after the workers have loaded the model for a few rows."""
    spark = _session(workers)
    data = spark.read.parquet(given.source)
    few = answered(spark, data.limit(8 * workers).repartition(workers))
    few.write.format("noop").mode("overwrite").save()
    rows = data.repartition(4 * workers).cache()
    rows.count()
    given.begin()
    answered(spark, rows).write.parquet(given.output)


def spark_udf(given: Given, workers: int = 2) -> None:
    """MLflow's spark_udf over its own flavor of sentence-transformers."""
    import mlflow

    made: list[Any] = []

    def answered(spark: Any, rows: Any) -> Any:
        made[:] = made or [mlflow.pyfunc.spark_udf(spark, given.flavor, result_type=VECTOR, env_manager="local")]
        return rows.withColumn("embedding", made[0]("text"))

    _by_spark(given, workers, answered)


def spark_predict(given: Given, workers: int = 2) -> None:
    """hfspec.spark.predict."""
    import hfspec.spark

    _by_spark(given, workers, lambda _, rows: hfspec.spark.predict(rows, given.artifact))


def spark_batch(given: Given, workers: int = 2) -> None:
    """`hfspec batch --engine spark`."""
    _session(workers)
    batch(given, "spark", PART, replicas=workers, threads=1)


CONTENDERS: dict[str, Callable[[Given], None]] = {
    "loop": loop,
    "batch": batch,
    "batch, one thread": lambda given: batch(given, threads=1),
    "pandas chunks": pandas_chunks,
    "ray encode": ray_encode,
    "ray predict": ray_predict,
    "ray batch": ray_batch,
    "ray batch, one worker": lambda given: ray_batch(given, 1),
    "spark_udf": spark_udf,
    "spark predict": spark_predict,
    "spark batch": spark_batch,
}


def _written(output: Path) -> int:
    import pyarrow.parquet as pq

    files = output.glob("*.parquet") if output.is_dir() else [output]
    return sum(pq.ParquetFile(file).metadata.num_rows for file in files)


def main(name: str, folder: str, paths: str) -> None:
    given = Given(**json.loads(paths), folder=Path(folder))
    CONTENDERS[name](given)
    (given.folder / "ended").touch()
    sys.stdin.readline()
    if Path(given.output).exists():
        print(json.dumps({"rows": _written(Path(given.output))}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
