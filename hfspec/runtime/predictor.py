"""A loaded artifact: input in, answer out."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from threading import Lock
from typing import Any

from hfspec.errors import RowError, UsageError
from hfspec.inputs.row import Row
from hfspec.inputs.rows import Columns, index_of, to_rows
from hfspec.ir.artifact import FORMS, STANDARD, Manifest
from hfspec.ir.lazy import named
from hfspec.ir.signature import Signature
from hfspec.runtime.backends.taken import taken, trial_note
from hfspec.runtime.io.answers import Table, plain, to_json
from hfspec.runtime.patches.states import State, every_state
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.begun import Begun
from hfspec.runtime.scheduling.call import Call
from hfspec.runtime.scheduling.row_stream import each_row
from hfspec.runtime.scheduling.windows import FIRST
from hfspec.runtime.scheduling.windows import FULL as FULL_WINDOW
from hfspec.settings.precedence import (
    LOAD,
    MODEL_CONFIG,
    PREDICT,
    InForce,
    Settings,
    fixed_layers,
    predict_layer,
    protocol_layer,
)
from hfspec.tasks import media
from hfspec.tasks.libraries import Library
from hfspec.tasks.task import Task
from hfspec.tasks.weight_formats import WEIGHT_FORMATS


def checked_form(outputs: str) -> str:
    """The form of output; raises UsageError for one that does not exist."""
    if outputs not in FORMS:
        raise UsageError(f"outputs must be 'standard' or 'full', not {outputs!r}.")
    return outputs


RAISE, RETURN = ERRORS = ("raise", "return")


class Predictor:
    """A loaded artifact that answers calls. It keeps no state between them, so the same call gets the same answer
    (sampling without a seed apart).
    """

    def __init__(self, runner: Runner, config: Mapping[str, Any], outputs: str) -> None:
        self._process = os.getpid()
        self._runner = runner
        self._tokenizing = Lock()  # a tokenizer keeps how it truncates, so that two calls at once would mix theirs
        self._outputs = checked_form(outputs)
        own, defaults = runner.own_settings(), runner.defaults()
        self._layers = fixed_layers(self.task, self.manifest, own, config, defaults)
        self._columns = Columns(self.task, self.signature.inputs, self.manifest.deployment.prompt_template)

    def __repr__(self) -> str:
        compiled = self.manifest.deployment.dtype
        dtype = self.dtype if self.dtype == compiled else f"cast to {self.dtype} (the artifact: {compiled})"
        return f"<Predictor {self.manifest.name}: {self.task.name}, {dtype}, {self.device}>"

    @property
    def manifest(self) -> Manifest:
        return self._runner.request.manifest

    @property
    def signature(self) -> Signature:
        return self._runner.request.manifest.signature

    @property
    def task(self) -> Task:
        return self._runner.request.task

    @property
    def _library(self) -> Library:
        return WEIGHT_FORMATS[self.manifest.deployment.format].library(self.task.library, self.task.name)

    @property
    def dtype(self) -> str:
        """The dtype the weights are loaded in."""
        return self._runner.request.dtype

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint of the embedding space, with the settings as loaded; None for other tasks."""
        return self._runner.request.fingerprint(self._layers[LOAD])

    def fingerprint_with(self, params: Mapping[str, Any] | None) -> str | None:
        """The fingerprint of the embedding space of predict with these params, which predict checks; None for other
        tasks.
        """
        return self._runner.request.fingerprint({**self._layers[LOAD], **(params or {})})

    @property
    def device(self) -> str:
        """The device of the model, by torch's name."""
        return self._runner.request.device

    @property
    def patches(self) -> dict[str, State]:
        """The patches, which compute in a library's place, by name: whether each is on for this model, and why
        (docs/serving.md).
        """
        return every_state(self._runner.request.patches, self._runner.loaded.patches)

    @property
    def backend(self) -> str:
        """The backend that does the model's arithmetic: ``torch``, ``onednn`` or ``openvino``."""
        return taken(self._runner.request, self._runner.loaded.patches)

    def trial_note(self) -> str:
        """A note for the user of compile: the backend here, that of ``auto`` elsewhere, and a dtype that is slow."""
        return trial_note(self._runner.request, self._runner.loaded.patches)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None, outputs: str | None = None) -> Any:
        """The answer to every row of ``data``, in its order: the task's standard form, or with ``outputs="full"`` a
        list of dicts with all that the model knows. A data frame that answers a DataFrame or a Series has its index,
        repeated where a row has several lines.

        Raises InputError naming the row, ParamsError, OutputError.
        """
        call, results, answer = self._run(data, params, outputs)
        if not isinstance(answer, Table):
            return answer
        frame = answer.to_pandas()
        index = index_of(data)
        if index is not None:
            frame.index = index.repeat(call.lines(results))
        return frame

    def predict_iter(
        self,
        rows: Iterable[Any],
        params: Mapping[str, Any] | None = None,
        outputs: str | None = None,
        *,
        window: int = FULL_WINDOW,
        errors: str = RAISE,
    ) -> Iterator[Any]:
        """The answers to rows that come one by one, one answer a row, in order, in the same memory for any number of
        rows. This takes at most ``window`` of the ``rows`` ahead of the current answer, and few before the first.

        A row is any item of a list for predict. Its answer is the item that predict would give for it: a text, a
        number, an array, an object; a dict where predict gives a data frame. Raises ParamsError and UsageError at once,
        and with the answers the errors of predict, whose rows count over the whole stream. With ``errors="return"`` a
        row that cannot be answered costs no other its answer: in its place comes the RowError (InputError, OutputError,
        OutOfMemoryError) that predict would raise for it.
        """
        form = checked_form(outputs or self._outputs)
        if type(window) is not int or window < 1:
            raise UsageError(f"window must be a number of rows, at least 1, not {window!r}.")
        if errors not in ERRORS:
            raise UsageError(f"errors must be 'raise' or 'return', not {errors!r}.")
        call = self._call(params, {} if errors == RETURN else None)
        return self._answers(call, each_row(rows, self._rows, call.refused), form, window)

    def predict_json(self, data: Any, params: Mapping[str, Any] | None = None, outputs: str | None = None) -> Any:
        """The answer of predict as plain JSON values; raises the same."""
        return to_json(self._answer(data, params, outputs))

    def predict_plain(
        self, data: Any, params: Mapping[str, Any] | None = None, *, protocol: Mapping[str, Any] | None = None
    ) -> Any:
        """The answer of predict as plain values, a nan as it is, for the comparison with golden examples; raises the
        same. ``protocol``: that of begin.
        """
        return plain(self._answer(data, params, None, protocol))

    def settings(self, params: Mapping[str, Any] | None = None) -> dict[str, InForce]:
        """Every setting that a call with these params would use, with the layer its value came from."""
        return self._in_force(params).table()

    def components(self) -> dict[str, Any]:
        """The library's own objects that this predictor runs, by name: ``task``, ``model``, ``tokenizer`` and the like
        as far as the task has them, and ``dtype``, for ``transformers.pipeline(**components)`` where transformers still
        has the task's pipeline. For sentence-transformers ``model`` alone, the library's own class over all of it.
        Raises UsageError in a process that was forked from the one that loaded.
        """
        self._check_process()
        components: dict[str, Any] = self._library.part("components")(self._runner)
        return components

    def pipeline(self) -> Any:
        """The library's pipeline over the same objects, without the spec's inference settings.

        Raises UsageError with the way to go instead, where the library has none for the task.
        """
        self._check_process()
        return self._library.part("pipeline")(self._runner)

    def begin(
        self,
        data: Any,
        params: Mapping[str, Any] | None = None,
        outputs: str | None = None,
        *,
        refuses: bool = False,
        protocol: Mapping[str, Any] | None = None,
        sent: Mapping[str, float] | None = None,
    ) -> Begun:
        """A call whose rows a scheduler puts into batches with those of other calls.

        Args:
            data: The same as predict's.
            params: The same as predict's.
            outputs: The same as predict's.
            refuses: Whether a row that cannot be answered costs no other its answer.
            protocol: Settings that the caller's protocol has keys for, whether or not the signature declares them.
            sent: For rows that another machine sent: the predictor opens no file and no address for them, and these
                settings, which bound their size, hold where they are below those of the deployment. None for rows of
                this machine's own.

        Returns:
            The rows, and the steps from them to the answer.

        Raises:
            InputError: The data holds no rows, or a row is wrong and ``refuses`` is not set.
            ParamsError: For ``params`` and ``protocol``.
            UsageError: For ``outputs``, or in a process that was forked from the one that loaded.
        """
        form = checked_form(outputs or self._outputs)
        call = self._call(params, {} if refuses else None, protocol, sent=sent)
        if refuses:
            return Begun(call, list(each_row(data, self._rows, call.refused)), form, self.signature.outputs)
        rows = self._rows(data)
        self._runner.check_rows(rows)
        return Begun(call, rows, form, self.signature.outputs)

    def over_task(self, name: str) -> Predictor:
        """The predictor of another task over the same model, where the task allows it (its ``answers_as``).

        Raises UsageError.
        """
        own = self.task
        if name == own.name:
            return self
        task = WEIGHT_FORMATS[self.manifest.deployment.format].task(own.library, name)
        if task is None or name not in own.answers_as:
            raise UsageError(f"a model for {own.name} does not answer as {name}.")
        runner_class: type[Runner] = named(task.runner)
        signature = replace(self.signature, inputs=task.inputs, outputs=task.outputs)
        request = replace(self._runner.request, task=task, manifest=replace(self.manifest, signature=signature))
        predictor = Predictor(runner_class.over(self._runner, request), self._layers[LOAD], STANDARD)
        predictor._tokenizing = self._tokenizing
        return predictor

    @property
    def runner(self) -> Runner:
        """The task's runner, for a scheduler that puts the rows of several calls into batches."""
        return self._runner

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise UsageError(
                "this predictor was loaded before the process was forked, and torch's threads do not live on in a"
                " forked child: the call would hang. Start the worker with the start method 'spawn', or load in the"
                " child."
            )

    def _in_force(self, params: Mapping[str, Any] | None, protocol: Mapping[str, Any] | None = None) -> Settings:
        fixed = {*self._layers[MODEL_CONFIG], *self._layers[LOAD]}
        layer = predict_layer(params, self.task, self.signature, fixed)
        return Settings({**self._layers, PREDICT: {**protocol_layer(protocol, self.task, self.signature), **layer}})

    def _call(
        self,
        params: Mapping[str, Any] | None,
        refused: dict[int, RowError] | None = None,
        protocol: Mapping[str, Any] | None = None,
        *,
        sent: Mapping[str, float] | None = None,
    ) -> Call:
        """A call with these params; raises ParamsError, and UsageError in a fork of the process that loaded."""
        self._check_process()
        settings = self._in_force(params, protocol)
        if sent is not None:
            settings = settings.over(self._for_sent(settings, sent))
        self._runner.check(settings)
        return Call(self._runner, settings, self._tokenizing, refused)

    def _for_sent(self, settings: Settings, bounds: Mapping[str, float]) -> dict[str, Any]:
        """The settings for rows of another machine, as far as the task has them."""
        opens = {setting.name: False for setting in media.OPENS}
        values: dict[str, Any] = {name: settings.get(name) for name in bounds}
        least = {name: most if values[name] is None else min(most, values[name]) for name, most in bounds.items()}
        return {name: value for name, value in {**opens, **least}.items() if self.task.setting(name) is not None}

    def _rows(self, data: Any) -> list[Row]:
        rows = self._runner.rows(data)
        return to_rows(data, self._columns) if rows is None else rows

    def _answer(
        self,
        data: Any,
        params: Mapping[str, Any] | None,
        outputs: str | None,
        protocol: Mapping[str, Any] | None = None,
    ) -> Any:
        return self._run(data, params, outputs, protocol)[2]

    def _run(
        self,
        data: Any,
        params: Mapping[str, Any] | None,
        outputs: str | None,
        protocol: Mapping[str, Any] | None = None,
    ) -> tuple[Call, list[Any], Any]:
        """The call, the result of each row, and the answer."""
        work = self.begin(data, params, outputs, protocol=protocol)
        results = [result for window in work.call.results(work.rows) for result in window]
        answer = work.answer(results)
        return work.call, results, self._stream(answer) if isinstance(answer, Generator) else answer

    def _stream(self, chunks: Generator[Any, None, None]) -> Generator[Any, None, None]:
        """The chunks of a stream. Raises UsageError in a process that was forked from the one that loaded."""
        with closing(chunks):
            self._check_process()
            for chunk in chunks:
                yield chunk
                self._check_process()

    def _answers(self, call: Call, rows: Iterator[Row], form: str, window: int) -> Iterator[Any]:
        self._check_process()  # answers may be taken in another process than the one that asked for them
        work = Begun(call, [], form, self.signature.outputs)
        for answer in work.each(call.results(rows, window, FIRST)):
            yield answer
            self._check_process()
