"""A loaded artifact: input in, answer out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any

from hfspec.errors import UsageError
from hfspec.ir.artifact import Manifest
from hfspec.ir.signature import Signature
from hfspec.runtime import native
from hfspec.runtime.answers import Table, plain, to_json
from hfspec.runtime.family import FORMS, FULL, Family, Place, Row
from hfspec.runtime.inputs import Columns, to_rows
from hfspec.runtime.output_check import check_output
from hfspec.runtime.scheduling.call import Call
from hfspec.runtime.scheduling.row_stream import each_row
from hfspec.runtime.scheduling.windows import FIRST
from hfspec.runtime.scheduling.windows import FULL as FULL_WINDOW
from hfspec.runtime.sentences import fingerprint
from hfspec.runtime.settings import LOAD, MODEL_CONFIG, PREDICT, InForce, Settings, fixed_layers, predict_layer
from hfspec.tasks.task import Task


def checked_form(outputs: str) -> str:
    """The form of output; raises UsageError for one that does not exist."""
    if outputs not in FORMS:
        raise UsageError(f"outputs must be 'standard' or 'full', not {outputs!r}.")
    return outputs


class Predictor:
    """Answers calls. It keeps no state between them, so the same call gets the same answer (sampling without a seed
    apart).
    """

    def __init__(self, place: Place, family: Family, given: Mapping[str, Any], outputs: str) -> None:
        self._place = place
        self._family = family
        self._tokenizing = Lock()  # a tokenizer keeps how it truncates, so that two calls at once would mix theirs
        self._outputs = checked_form(outputs)
        deployment = place.manifest.deployment
        self._layers = fixed_layers(place.task, place.manifest, family.own_settings(), given, family.defaults())
        self._columns = Columns(place.task, self.signature.inputs, deployment.prompt_template)

    def __repr__(self) -> str:
        compiled = self.manifest.deployment.dtype
        dtype = self.dtype if self.dtype == compiled else f"cast to {self.dtype} (the artifact: {compiled})"
        return f"<Predictor {self.manifest.name}: {self.task.name}, {dtype}, {self.device}>"

    @property
    def manifest(self) -> Manifest:
        return self._place.manifest

    @property
    def signature(self) -> Signature:
        return self._place.manifest.signature

    @property
    def task(self) -> Task:
        return self._place.task

    @property
    def dtype(self) -> str:
        """The dtype the weights are loaded in."""
        return self._place.dtype

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the space of the embeddings, with the settings as loaded; None for other tasks."""
        return fingerprint.of_place(self._place, self._layers[LOAD])

    @property
    def device(self) -> str:
        """Where the model runs, as torch names it."""
        return self._place.device

    def predict(self, data: Any, params: Mapping[str, Any] | None = None, outputs: str | None = None) -> Any:
        """The answer to every row of ``data``, in its order: the task's standard form, or with ``outputs="full"`` a
        list of dicts with all that the model knows.

        Raises InputError naming the row, ParamsError, OutputError.
        """
        answer = self._answer(data, params, outputs)
        return answer.to_pandas() if isinstance(answer, Table) else answer

    def predict_iter(
        self,
        rows: Iterable[Any],
        params: Mapping[str, Any] | None = None,
        outputs: str | None = None,
        *,
        window: int = FULL_WINDOW,
    ) -> Iterator[Any]:
        """The answers to rows that come one by one, one answer a row, in order: of any number of rows in the same
        memory. Of ``rows`` at most ``window`` are taken ahead of the answer that is given, and few before the first.

        A row is what a list given to predict may hold. Its answer is the item that predict would give for it: a text, a
        number, an array, an object; a dict where predict gives a data frame. Raises ParamsError and UsageError at once,
        and while the answers are taken what predict raises, its rows counted over the whole stream.
        """
        form = checked_form(outputs or self._outputs)
        if type(window) is not int or window < 1:
            raise UsageError(f"window must be a number of rows, at least 1, not {window!r}.")
        return self._answers(self._call(params), each_row(rows, self._rows), form, window)

    def predict_json(self, data: Any, params: Mapping[str, Any] | None = None, outputs: str | None = None) -> Any:
        """The same answer as plain JSON values; raises the same."""
        return to_json(self._answer(data, params, outputs))

    def predict_plain(self, data: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The same answer as plain values, a nan as it is, which golden examples are compared with; raises the same."""
        return plain(self._answer(data, params, None))

    def settings(self, params: Mapping[str, Any] | None = None) -> dict[str, InForce]:
        """Every setting that a call with these params would use, with the layer its value came from."""
        return self._in_force(params).table()

    def components(self) -> dict[str, Any]:
        """The library's own objects that this predictor runs, by name: ``task``, ``model``, ``tokenizer`` and the like
        as far as the task has them, and ``dtype``, as ``transformers.pipeline(**components)`` takes them where the
        library still has the task's pipeline. Of sentence-transformers ``model`` alone, its own class over all of it.
        """
        return native.components(self._place)

    def pipeline(self) -> Any:
        """The library's pipeline over the same objects. The spec's inference settings are not part of it.

        Raises UsageError, saying what to use instead, where the library has none for the task.
        """
        return native.pipeline(self._place)

    def _in_force(self, params: Mapping[str, Any] | None) -> Settings:
        fixed = {*self._layers[MODEL_CONFIG], *self._layers[LOAD]}
        given = predict_layer(params, self.task, self.signature, fixed)
        return Settings({**self._layers, PREDICT: given})

    def _call(self, params: Mapping[str, Any] | None) -> Call:
        """Raises ParamsError."""
        settings = self._in_force(params)
        self._family.check(settings)
        return Call(self._family, settings, self._tokenizing)

    def _rows(self, data: Any) -> list[Row]:
        rows = self._family.rows(data)
        return to_rows(data, self._columns) if rows is None else rows

    def _answer(self, data: Any, params: Mapping[str, Any] | None, outputs: str | None) -> Any:
        form = checked_form(outputs or self._outputs)
        call = self._call(params)
        rows = self._rows(data)
        self._family.check_rows(rows)
        results = [result for window in call.results(rows) for result in window]
        if form == FULL:
            return self._family.full(results, call.settings)
        answer = self._family.standard(results, call.settings)
        check_output(answer, self._family.declared(self.signature.outputs, call.settings))
        return answer

    def _answers(self, call: Call, rows: Iterator[Row], form: str, window: int) -> Iterator[Any]:
        declared = self._family.declared(self.signature.outputs, call.settings)
        for results in call.results(rows, window, FIRST):
            if form != FULL:
                check_output(self._family.standard(results, call.settings), declared)
            for result in results:
                yield self._family.answer(result, call.settings, form)
