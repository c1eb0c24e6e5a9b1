"""An artifact over the rows of a Spark DataFrame; needs `pip install 'hfspec[spark]'`, and hfspec on each executor."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from hfspec.batch.columns import RowAnswers, answer_type
from hfspec.batch.types import without_sizes
from hfspec.errors import UsageError, VerificationError
from hfspec.runtime.load import load
from hfspec.runtime.predictor import Predictor


def predict(
    df: Any,
    artifact: str | Path,
    *,
    columns: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    outputs: str | None = None,
    keep: Sequence[str] | None = None,
    ship: bool = False,
    load_options: Mapping[str, Any] | None = None,
) -> Any:
    """Answer the rows of a DataFrame where they lie.

    Each Python worker of an executor loads the artifact once, whatever the number of partitions. The driver loads it
    too, to know the columns of the answers.

    Args:
        df: The DataFrame.
        artifact: The artifact's folder, at the same path on the driver and all executors.
        columns: Input -> the column that it is read from, where the names differ.
        params: As predict of a predictor takes them.
        outputs: ``standard`` or ``full``, as predict takes it.
        keep: The columns that come out as they came in; None for all.
        ship: Whether Spark sends the artifact to the executors, which then need no path to it.
        load_options: Arguments of ``hfspec.load``, such as ``trust_remote_code``.

    Returns:
        A DataFrame of the columns kept, those of the answer, and ``error`` (kind, message), which is null where the row
        was answered.

    Raises:
        UsageError: For ``columns``, ``keep``, ``outputs``, or a DataFrame that Spark Connect made with ``ship``.
        ParamsError: For ``params``.
        HfspecError: The artifact cannot be loaded.
    """
    options = dict(load_options or {})
    predictor = load(artifact, **options)
    arguments: dict[str, Any] = {"columns": columns, "params": params, "outputs": outputs, "keep": keep}
    answers = RowAnswers(predictor, df.limit(0).toArrow().schema, **arguments)
    place = _shipped(df, Path(artifact), predictor.manifest.digest) if ship else str(Path(artifact).absolute())
    work = _Work(place, predictor.manifest.digest, options, arguments, is_shipped=ship)
    schema = df.sparkSession.createDataFrame(without_sizes(answers.schema).empty_table()).schema
    return df.mapInArrow(work, schema)


def result_type(
    artifact: str | Path, params: Mapping[str, Any] | None = None, *, load_options: Mapping[str, Any] | None = None
) -> Any:
    """The ``result_type`` with which MLflow's ``spark_udf`` gives the whole answer of this artifact. With another it
    keeps what fits, silently: one number of an embedding with ``double``.

    Args:
        artifact: The artifact's folder.
        params: The params of ``spark_udf``, which may change the columns of an answer.
        load_options: Arguments of ``hfspec.load``, such as ``trust_remote_code``.

    Returns:
        A type of Spark: the type of the answer's only column, or a struct of its columns.

    Raises:
        ParamsError: For ``params``.
        HfspecError: The artifact cannot be loaded.
    """
    from pyspark.sql.pandas.types import from_arrow_type

    kind = answer_type(load(artifact, **dict(load_options or {})), params)
    return from_arrow_type(without_sizes(pa.schema([("answer", kind)])).field(0).type)


@dataclass(frozen=True)
class _Work:
    """The work of a Python worker over the batches of a partition. Spark sends it to the worker."""

    place: str
    digest: str
    options: dict[str, Any]
    arguments: dict[str, Any]
    is_shipped: bool

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        answers = None
        for batch in batches:
            if answers is None:
                answers = RowAnswers(self._predictor(), batch.schema, **self.arguments)
                schema = without_sizes(answers.schema)
            yield from answers.answer(batch).cast(schema).to_batches()

    def _predictor(self) -> Predictor:
        if not self.is_shipped:
            return _loaded(self.place, self.digest, tuple(self.options.items()))
        from pyspark import SparkFiles

        return _loaded(SparkFiles.get(self.place), self.digest, tuple(self.options.items()))


@cache
def _loaded(place: str, digest: str, options: tuple[tuple[str, Any], ...]) -> Predictor:
    """The predictor of this process; raises VerificationError where the path has another artifact."""
    predictor = load(place, **dict(options))
    if predictor.manifest.digest != digest:
        raise VerificationError(f"{place} is another artifact here than on the driver; put the same one there")
    return predictor


def _shipped(df: Any, artifact: Path, digest: str) -> str:
    """Have Spark send the artifact; return its name among the files of an executor."""
    context = getattr(df.sparkSession, "sparkContext", None)
    if context is None:
        raise UsageError("Spark Connect does not ship an artifact; put it where the executors can read it")
    name = f"hfspec-{digest.removeprefix('sha256:')[:32]}"
    if name not in "".join(map(str, context.listArchives)):
        archive = Path(tempfile.mkdtemp(prefix="hfspec-")) / f"{name}.tar"
        with tarfile.open(archive, "w") as stream:
            for entry in sorted(artifact.iterdir()):
                stream.add(entry, entry.name)
        context.addArchive(f"{archive}#{name}")
    return name
