"""An artifact over the batches of a Ray dataset; needs `pip install 'hfspec[ray]'`, and hfspec on each node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from hfspec.batch.columns import RowAnswers
from hfspec.batch.types import without_sizes
from hfspec.errors import UsageError
from hfspec.runtime.load import load


class Predict:
    """A class for ``map_batches``: each actor loads the artifact once, and answers batches.

    ::

        ds.map_batches(
            hfspec.ray.Predict,
            fn_constructor_args=("build/minilm",),
            fn_constructor_kwargs={"columns": {"text": "body"}},
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=4),
        )

    Args:
        artifact: The artifact's folder, at the same path on all nodes.
        columns: Input -> the column that it is read from, where the names differ.
        params: As predict of a predictor takes them.
        outputs: ``standard`` or ``full``, as predict takes it.
        keep: The columns that come out as they came in; None for all.
        load_options: Arguments of ``hfspec.load``, such as ``device``.

    Raises:
        HfspecError: The artifact cannot be loaded.
    """

    def __init__(
        self,
        artifact: str | Path,
        *,
        columns: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        outputs: str | None = None,
        keep: Sequence[str] | None = None,
        load_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._predictor = load(artifact, **dict(load_options or {}))
        self._arguments: dict[str, Any] = {"columns": columns, "params": params, "outputs": outputs, "keep": keep}
        self._answers: tuple[pa.Schema, RowAnswers] | None = None

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The rows with the columns of their answers, and ``error`` (kind, message), which is null where the row was
        answered. Lists are plain ones, which can be written to Parquet and read again where one is null.

        Args:
            batch: Rows as an Arrow table.

        Returns:
            A table of as many rows.

        Raises:
            UsageError: For another form of batch, and for ``columns``, ``keep`` and ``outputs``.
            ParamsError: For ``params``.
        """
        if not isinstance(batch, pa.Table):
            raise UsageError(f'the batch is a {type(batch).__name__}; give map_batches batch_format="pyarrow"')
        if self._answers is None or not self._answers[0].equals(batch.schema):
            self._answers = batch.schema, RowAnswers(self._predictor, batch.schema, **self._arguments)
        answers = self._answers[1]
        return answers.answer(batch).cast(without_sizes(answers.schema))
