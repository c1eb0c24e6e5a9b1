"""The base of every runner: five steps between the rows that come in and the answer that goes out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar, Self

from hfspec.inputs.prompt import prompt_text
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.ir.dtypes import BY_TORCH_NAME, size_of
from hfspec.ir.signature import Column, Tensor
from hfspec.runtime.loading import adapter, native
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.scheduling import memory
from hfspec.runtime.scheduling.batching import Item
from hfspec.runtime.scheduling.partition import PASS
from hfspec.settings.precedence import Settings


class Runner(ABC):
    """A task over its loaded model. The predictor calls preprocess on a window of rows, run and read on each batch, and
    standard or full on the results; a runner keeps nothing between calls. ``rows_at_once``: how many rows preprocess
    gets, ``look_ahead``: how many full batches a window of rows makes; together they bound a call's memory.
    """

    rows_at_once: ClassVar[int] = 256
    look_ahead: ClassVar[int] = 32
    # Tokens of a batch on a CPU; None: as many as its caches hold of the model's hidden states (docs/running.md).
    cpu_tokens: ClassVar[int | None] = None
    # The objects that a task's own __init__ has loaded.
    loaded: Loaded

    def __init__(self, request: LoadRequest) -> None:
        self.take(request)

    def take(self, request: LoadRequest) -> None:
        """Keep the request's facts; this loads nothing."""
        self.request = request
        self.task = request.task
        self.dtype = request.dtype
        self.template = request.manifest.deployment.prompt_template
        self.alone = adapter.reads_alone(request)

    @classmethod
    def over(cls, other: Runner, request: LoadRequest) -> Self:
        """The runner of the request's task over the loaded objects of the runner ``other`` of another task."""
        runner = cls.__new__(cls)
        vars(runner).update(vars(other))
        runner.take(request)
        return runner

    @cached_property
    def sentence_model(self) -> Any:
        """The model of sentence-transformers, loaded at its first use; raises StorageError."""
        if self.loaded.sentence_model is not None:
            return self.loaded.sentence_model
        return native.load_sentence_model(self.request, self.loaded.tokenizer)

    def prompt_text(self, row: Row) -> str:
        """The model's text for a row whose input is a prompt: the spec's template around it, where there is one."""
        return prompt_text(self.task, self.template, row.values)

    def defaults(self) -> Mapping[str, Any]:
        """The defaults of hfspec itself that depend on the device."""
        if self.task.setting("batch_tokens") is None:
            return {}
        return {"batch_tokens": memory.batch_tokens(self.request.device, self.cpu_tokens or self._cached_tokens())}

    def _cached_tokens(self) -> int:
        config = getattr(self.loaded.model, "config", None)
        width = getattr(config, "hidden_size", None)
        size = size_of(BY_TORCH_NAME[self.request.dtype])
        return memory.tokens_on_cpu(width if isinstance(width, int) and width > 0 else 1, size)

    def own_settings(self) -> Mapping[str, Any]:
        """The checkpoint's own settings: the lowest layer."""
        return {}

    def check(self, settings: Settings) -> None:  # noqa: B027 - most runners have nothing to check
        """Raises ParamsError for settings that cannot work with this checkpoint."""

    def rows(self, data: Any) -> list[Row] | None:
        """The rows of an input with a form of its own, such as a conversation; None for rows of the task's columns.

        Raises InputError naming the row.
        """
        return None

    def check_rows(self, rows: Sequence[Row]) -> None:  # noqa: B027 - most rows stand for themselves
        """Raises InputError when the rows of a call have no common form of answer."""

    def belonging(self, settings: Settings) -> Callable[[Row, Row], bool] | None:
        """Whether a row's answer depends on the row before it, so that preprocess must see both; None for never."""
        return None

    def declared(self, outputs: tuple[Column, ...] | Tensor, settings: Settings) -> tuple[Column, ...] | Tensor:
        """The signature's ``outputs`` under the settings of a call: the same for most tasks."""
        return outputs

    @abstractmethod
    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Any]]:
        """The rows' items, in the rows' order: one a row, or several where one row takes several answers of the model
        (a window of a long text each, a hypothesis each), next to each other and with that row's number. Raises
        InputError naming the row.
        """

    @abstractmethod
    def run(self, batch: Sequence[Item[Any]], settings: Settings) -> Any:
        """The output of a batch, from which ``read`` makes its results. A GPU may still compute it: this
        does not wait.
        """

    def read(self, output: Any, batch: Sequence[Item[Any]], settings: Settings) -> Sequence[Any]:
        """The model's result for each item of a batch, from the output of ``run``, for which this waits; each equals
        the item's result alone. By default ``run`` has waited already.
        """
        results: Sequence[Any] = output
        return results

    def joined(self, parts: Sequence[Any], settings: Settings) -> Any:
        """A row's result from those of its items, in their order."""
        return parts[0]

    @abstractmethod
    def standard(self, results: Sequence[Any], settings: Settings) -> Any:
        """The task's standard form, a Table where that is a data frame; without rows when there are no results."""

    @abstractmethod
    def full(self, results: Sequence[Any], settings: Settings) -> list[dict[str, Any]]:
        """Everything the model knows, one dict of JSON values, arrays and texts a row."""

    def answer(self, result: Any, settings: Settings, form: str) -> Any:
        """The answer to one row by itself, in the standard or the full form: an item of their answer to many."""
        answers = self.full([result], settings) if form == FULL else self.standard([result], settings)
        return answers[0]

    @property
    def ahead(self) -> int:
        """How many batches are launched before the results of an earlier one are read: a GPU computes while the host
        reads, a CPU has computed when run returns.
        """
        return memory.ahead(self.request.device)

    @property
    def pass_tokens(self) -> int | None:
        """The cost of a forward pass beside its tokens, in tokens; None: more than any padding, on a GPU, which
        computes padding at little cost, and where most steps of a pass are for one token a row.
        """
        return PASS if self.request.device == "cpu" and self.cpu_tokens is None else None

    def budget(self, settings: Settings) -> int:
        """How many tokens one forward pass may hold."""
        return 1 if self.alone else int(settings.get("batch_tokens") or 1)
