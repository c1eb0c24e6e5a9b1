"""Rows of an Arrow table through a predictor: which columns it reads, and the typed columns of its answers."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from hfspec.batch.types import ERROR, Fields, full_fields, standard_fields
from hfspec.errors import HfspecError, InputError, PredictionError, RowError, UsageError
from hfspec.inputs.rows import Columns
from hfspec.ir.artifact import FULL, STANDARD, Manifest
from hfspec.redaction import redacted
from hfspec.runtime.golden.probing import model_fault
from hfspec.runtime.io.answers import to_json
from hfspec.runtime.predictor import Predictor
from hfspec.tasks.task import Task

WINDOW = 2048
FEW = 128  # rows at a time, where an answer has a vector for each token


def input_columns(
    manifest: Manifest, task: Task, schema: pa.Schema, mapping: Mapping[str, str], keep: Sequence[str] = ()
) -> dict[str, str]:
    """Which column of a table each input of the artifact is read from.

    Args:
        manifest: The artifact's manifest.
        task: Its task.
        schema: The table's schema.
        mapping: Input -> column, as ``--map text=body`` says it.
        keep: Columns that are to come out as they came in.

    Returns:
        Input -> column: the mapping, the inputs that the table has columns of the same name for, and the only column
        for the only required input, whatever its name; for a sound or an image the only column of bytes.

    Raises:
        UsageError: For an input or a column that does not exist, a required input without a column, or a column whose
            type the input can never take.
    """
    unknown = [name for name in keep if name not in schema.names]
    if unknown:
        raise UsageError(f"--keep: the input has no column {_listed(unknown)}; it has {_listed(schema.names)}")
    inputs = Columns(task, manifest.signature.inputs, manifest.deployment.prompt_template)
    for name, column in mapping.items():
        if name not in inputs.by_name:
            raise UsageError(f"--map {name}={column}: the artifact reads {', '.join(inputs.names)}, not {name}")
        if column not in schema.names:
            raise UsageError(f"--map {name}={column}: the input has no column {column}; it has {_listed(schema.names)}")
    columns = {name: mapping.get(name, name) for name in inputs.names if name in mapping or name in schema.names}
    if not columns and len(schema.names) == 1 and len(inputs.required) == 1:
        columns = {inputs.required[0]: schema.names[0]}
    missing = [name for name in inputs.required if name not in columns]
    alone = [field.name for field in schema if pa.types.is_binary(field.type) and field.name not in columns.values()]
    if len(missing) == 1 and len(alone) == 1 and inputs.by_name[missing[0]].type == "binary":
        columns[missing.pop()] = alone[0]
    if missing:
        raise UsageError(
            f"the artifact reads {', '.join(missing)}, and the input has the columns {_listed(schema.names)};"
            f" say which one it is with --map {missing[0]}=COLUMN"
        )
    for name, column in columns.items():
        _check_type(name, inputs.by_name[name].type, schema.field(column))
    return columns


def _listed(names: Sequence[str]) -> str:
    """Names between commas; in quotes where one could not be told from its neighbours."""
    return (
        ", ".join(f'"{name}"' if "," in name or name != name.strip() or not name else name for name in names) or "none"
    )


def _check_type(name: str, kind: str, field: pa.Field) -> None:
    """Raises UsageError where no row of the column can be answered."""
    cell_type = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    is_text = pa.types.is_string(cell_type) or pa.types.is_large_string(cell_type) or pa.types.is_string_view(cell_type)
    if kind == "string" and not is_text and not pa.types.is_null(cell_type):
        raise UsageError(f"the column {field.name} is {field.type}, and the artifact reads {name} as text")


class RowAnswers:
    """A predictor's answers to the rows of tables of one schema, as typed columns beside those that are kept.

    ``schema``: the schema of ``answer``'s tables: the columns kept, the answer's, and ``error`` (kind, message), which
    is null where the row was answered; ``tokens``: how many the model has read so far, padding apart. A column of the
    answer that has the name of a kept one is called ``answer_<name>``.
    """

    def __init__(
        self,
        predictor: Predictor,
        schema: pa.Schema,
        *,
        columns: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        outputs: str | None = None,
        keep: Sequence[str] | None = None,
    ) -> None:
        """
        Args:
            predictor: The predictor.
            schema: The schema of the tables.
            columns: Input -> the table's column that it is read from, where the names differ.
            params: As predict takes them.
            outputs: As predict takes it.
            keep: The columns that come out as they came in; None for all.

        Raises:
            UsageError: For ``columns``, ``keep`` and ``outputs``.
            ParamsError: For ``params``.
        """
        self._predictor, self._params = predictor, params
        self.tokens = 0
        self._is_odd = False  # whether a row of the window at hand met an error that no predictor raises
        self._columns = input_columns(predictor.manifest, predictor.task, schema, columns or {}, keep or ())
        self._kept = tuple(schema.names if keep is None else keep)
        prediction = predictor.begin([], params, outputs, refuses=True)
        self._form, self._fields = prediction.form, _fields(predictor, prediction, self._columns)
        fields = [schema.field(name) for name in self._kept]
        names = _free([*(name for name, _ in self._fields), "error"], self._kept)
        types = [*(kind for _, kind in self._fields), ERROR]
        self.schema = pa.schema([*fields, *map(pa.field, names, types)])
        self._window = FEW if any(_is_large(kind) for _, kind in self._fields) else WINDOW

    @property
    def error_column(self) -> str:
        """The name of the column that holds the errors, in the schema."""
        return str(self.schema.names[-1])

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the embedding space; None for other tasks."""
        return self._predictor.fingerprint_with(self._params)

    def answer(self, rows: pa.Table | pa.RecordBatch, faults: Mapping[int, str] | None = None) -> pa.Table:
        """The rows with their answers, in their order; a row that cannot be answered has nulls and its error.

        Args:
            rows: A table or batch of the constructor's schema.
            faults: The number of a row that could not be read -> why; its error says so.

        Raises:
            PredictionError: The model answers nothing, not even a plain input of its task.
            HfspecError: The whole call cannot be answered, as in a process that was forked.
        """
        return pa.concat_tables([self.schema.empty_table(), *self.windows(rows, faults or {})])

    def windows(self, rows: pa.Table | pa.RecordBatch, faults: Mapping[int, str]) -> Iterator[pa.Table]:
        """The tables of ``answer``, each with the rows that are answered together."""
        for start in range(0, rows.num_rows, self._window):
            part = rows.slice(start, self._window)
            here = range(start, start + part.num_rows)
            self._is_odd = False
            answers = self._answered(part, {at - start: InputError(faults[at]) for at in here if at in faults})
            if self._is_odd and not answers.column(self.error_column).null_count:
                self._check_model()
            yield answers

    def _answered(self, part: pa.Table | pa.RecordBatch, faults: Mapping[int, RowError]) -> pa.Table:
        """The rows with their answers. A model, a checkpoint's own code or Arrow may raise anything over a row: then
        rows are answered in halves, until the one at fault is alone and has the error.
        """
        try:
            return self._table(part, self._answers(part, faults))
        except Exception as error:
            if isinstance(error, HfspecError) and not isinstance(error, RowError):
                raise
            if part.num_rows < 2:
                self._is_odd = not isinstance(error, RowError)
                return self._table(part, [error] * part.num_rows)
        middle = part.num_rows // 2
        second = {at - middle: fault for at, fault in faults.items() if at >= middle}
        return pa.concat_tables(
            [
                self._answered(part.slice(0, middle), {at: fault for at, fault in faults.items() if at < middle}),
                self._answered(part.slice(middle), second),
            ]
        )

    def _answers(self, part: pa.Table | pa.RecordBatch, faults: Mapping[int, RowError]) -> list[Any]:
        """The values of each row's answer, or its error."""
        cells = [part.column(column).to_pylist() for column in self._columns.values()]
        data: list[Any] = [dict(zip(self._columns, row, strict=True)) for row in zip(*cells, strict=True)]
        for at, fault in faults.items():
            data[at] = fault
        prediction = self._predictor.begin(data, self._params, self._form, refuses=True)
        answers = [
            answer if isinstance(answer, RowError) else self._cells(answer)
            for answer in prediction.each(prediction.call.results(prediction.rows))
        ]
        self.tokens += prediction.call.tokens
        return answers

    def _table(self, part: pa.Table | pa.RecordBatch, answers: Sequence[Any]) -> pa.Table:
        originals = [_whole(part.column(name)) for name in self._kept]
        columns = [_column(answers, at, kind) for at, (_, kind) in enumerate(self._fields)]
        errors = [_error(answer) if isinstance(answer, Exception) else None for answer in answers]
        return pa.Table.from_arrays([*originals, *columns, pa.array(errors, ERROR)], schema=self.schema)

    def _check_model(self) -> None:
        """Raises PredictionError where a plain input of the task is not answered either: the fault then lies not in
        the rows, but for example in a GPU that has failed.
        """
        fault = model_fault(self._predictor)
        if fault:
            raise PredictionError(
                f"the model answers nothing, not even a plain input of its task: {fault}; try the artifact with `hfspec"
                " predict`, or run the same command again on another device"
            )

    def _cells(self, answer: Any) -> tuple[Any, ...]:
        """The answer's value for each of its columns."""
        if len(self._fields) == 1:
            return (_value(answer, self._fields[0][1]),)
        return tuple(_value(answer[name], kind) for name, kind in self._fields)


def answer_schema(
    predictor: Predictor,
    schema: pa.Schema,
    *,
    columns: Mapping[str, str] | None = None,
    params: Mapping[str, Any] | None = None,
    outputs: str | None = None,
    keep: Sequence[str] | None = None,
) -> pa.Schema:
    """The schema of the answers to tables of ``schema``. The arguments are those of RowAnswers, which raises the
    same.
    """
    return RowAnswers(predictor, schema, columns=columns, params=params, outputs=outputs, keep=keep).schema


def answer_type(predictor: Predictor, params: Mapping[str, Any] | None = None) -> Any:
    """The Arrow type of one row's standard answer: that of its only column, or a struct of its columns.

    Args:
        predictor: The predictor.
        params: As predict takes them.

    Raises:
        ParamsError: For ``params``.
    """
    inputs = Columns(predictor.task, predictor.manifest.signature.inputs, predictor.manifest.deployment.prompt_template)
    prediction = predictor.begin([], params, STANDARD, refuses=True)
    fields = _fields(predictor, prediction, dict.fromkeys(inputs.required, ""))
    return fields[0][1] if len(fields) == 1 else pa.struct(list(fields))


def _fields(predictor: Predictor, prediction: Any, columns: Mapping[str, str]) -> Fields:
    settings = prediction.call.settings
    outputs = prediction.call.runner.declared(prediction.outputs, settings)
    if prediction.form == FULL:
        return full_fields(predictor.task, outputs, settings)
    return standard_fields(predictor.task, outputs, settings, columns)


def _free(names: Sequence[str], others: Sequence[str]) -> list[str]:
    """The names, each with as many ``answer_`` in front as make it unique."""
    free_names: list[str] = []
    for name in names:
        free = name
        while free in others or free in free_names or (free != name and free in names):
            free = f"answer_{free}"
        free_names.append(free)
    return free_names


def _value(value: Any, kind: Any) -> Any:
    """The value as Arrow takes it for a cell of this type: JSON text where the value has no one type."""
    if kind == pa.string() and not isinstance(value, str | None):
        return json.dumps(to_json(value), ensure_ascii=False, sort_keys=True)
    return value


def _column(answers: Sequence[Any], place: int, kind: Any) -> pa.Array:
    cells = [None if isinstance(answer, Exception) else answer[place] for answer in answers]
    if pa.types.is_fixed_size_list(kind):
        return _vectors(cells, kind)
    return pa.array(_plain_arrays(cells, kind), kind)


def _vectors(cells: Sequence[Any], kind: Any) -> pa.Array:
    """Numpy arrays of one length as one array, without a Python number for each."""
    import numpy as np

    empty = np.zeros(kind.list_size, kind.value_type.to_pandas_dtype())
    flat = np.concatenate([empty if cell is None else cell for cell in cells]) if cells else empty[:0]
    missing = pa.array([cell is None for cell in cells], pa.bool_()) if any(cell is None for cell in cells) else None
    return pa.FixedSizeListArray.from_arrays(pa.array(flat, kind.value_type), type=kind, mask=missing)


def _plain_arrays(cells: Sequence[Any], kind: Any) -> Sequence[Any]:
    """Arrays of several dimensions as lists of arrays, since Arrow takes only these."""
    is_nested = pa.types.is_list(kind) and pa.types.is_nested(kind.value_type)
    return [list(cell) if is_nested and hasattr(cell, "ndim") else cell for cell in cells]


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _is_large(kind: Any) -> bool:
    inside = [kind] if pa.types.is_list(kind) else [field.type for field in kind] if pa.types.is_struct(kind) else []
    return any(pa.types.is_list(each) and pa.types.is_fixed_size_list(each.value_type) for each in inside)


def _error(error: Exception) -> dict[str, str]:
    reason = error.reason if isinstance(error, RowError) else redacted(" ".join(str(error).split()))
    message = (reason or "no reason is given").encode("utf-8", "replace").decode()
    return {"kind": type(error).__name__, "message": message}
