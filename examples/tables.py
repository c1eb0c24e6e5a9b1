"""An artifact over tables that other libraries have: Hugging Face datasets, polars, DuckDB, and pandas in chunks.

`hfspec.ray.Predict` takes any Arrow table and needs no Ray: rows in, the same rows with typed answers and their errors
out. It loads the artifact once.

Usage: python examples/tables.py ARTIFACT FILE.csv      (a file with a column `text`)

Needs DuckDB: pip install 'hfspec[batch]' duckdb
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

import hfspec
from hfspec.ray import Predict


def over_dataset(artifact: str | Path, dataset: Any) -> Any:
    """A `datasets.Dataset` with the answers as further columns. Arrow tables go in and come out: no row is a dict."""
    return dataset.with_format("arrow").map(Predict(artifact), batched=True, batch_size=1024)


def over_frame(artifact: str | Path, frame: Any) -> Any:
    """A polars DataFrame with the answers as further columns."""
    import polars as pl

    return pl.from_arrow(Predict(artifact)(frame.to_arrow()))


def over_relation(artifact: str | Path, rows: Any) -> pa.RecordBatchReader:
    """The rows of a DuckDB relation with their answers, a batch in memory at a time. What reads them is another
    connection, such as ``connection.cursor()``: this one is busy with the rows until the last is taken.
    """
    predict = Predict(artifact)
    reader = rows.to_arrow_reader(8192)
    schema = predict(reader.schema.empty_table()).schema
    answered = (predict(pa.Table.from_batches([batch])) for batch in reader)
    batches = (batch for table in answered for batch in table.to_batches())
    return pa.RecordBatchReader.from_batches(schema, batches)


def as_function(artifact: str | Path, connection: Any, name: str, answer: str) -> None:
    """Make the artifact a function of SQL from a text to one column of its answer; null where there is none."""
    import duckdb

    predict = Predict(artifact, keep=[])
    kind = predict(pa.table({"text": pa.array([], pa.string())})).schema.field(answer).type

    def answers(texts: pa.ChunkedArray) -> pa.ChunkedArray:
        return predict(pa.table({"text": texts})).column(answer)

    types = {pa.string(): duckdb.sqltype("VARCHAR"), pa.float64(): duckdb.sqltype("DOUBLE")}
    connection.create_function(
        name, answers, [duckdb.sqltype("VARCHAR")], types[kind], type="arrow", null_handling="special"
    )


def by_chunks(artifact: str | Path, file: str | Path, rows: int = 100_000) -> Iterator[pd.DataFrame]:
    """The answers to a CSV file of any length, a chunk in memory at a time; each has the index of its rows."""
    predictor = hfspec.load(artifact)
    with pd.read_csv(file, chunksize=rows) as chunks:
        for chunk in chunks:
            yield predictor.predict(chunk[["text"]])


def main() -> None:
    """Answer the rows of a CSV file by DuckDB, and print them."""
    import duckdb

    artifact, file = sys.argv[1:]
    connection = duckdb.connect()
    print(connection.cursor().from_arrow(over_relation(artifact, connection.read_csv(file))))


if __name__ == "__main__":
    main()
