"""What every task family is: five steps between the rows that come in and the answer that goes out."""

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
    """A task family with its model loaded. The predictor calls preprocess on a window of rows, run and read on each
    batch, and standard or full on the results; nothing is kept between calls. ``rows_at_once``: how many rows
    preprocess is given, ``look_ahead``: how many full batches a window of rows makes; together they bound what a call
    holds in memory.
    """

    rows_at_once: ClassVar[int] = 256
    look_ahead: ClassVar[int] = 32
    # Of a batch on a CPU; None: what its caches hold of the model's hidden states (docs/running.md).
    cpu_tokens: ClassVar[int | None] = None
    # What a task's own __init__ has loaded.
    loaded: Loaded

    def __init__(self, request: LoadRequest) -> None:
        self.take(request)

    def take(self, request: LoadRequest) -> None:
        """Keep what the request says; nothing is loaded here."""
        self.request = request
        self.task = request.task
        self.dtype = request.dtype
        self.template = request.manifest.deployment.prompt_template
        self.alone = adapter.reads_alone(request)

    @classmethod
    def over(cls, other: Runner, request: LoadRequest) -> Self:
        """The runner of the request's task over the objects that the runner ``other`` of another task has loaded."""
        made = cls.__new__(cls)
        vars(made).update(vars(other))
        made.take(request)
        return made

    @cached_property
    def sentence_model(self) -> Any:
        """The model as sentence-transformers has it, loaded when it is first asked for; raises StorageError."""
        if self.loaded.sentence_model is not None:
            return self.loaded.sentence_model
        return native.load_sentence_model(self.request, self.loaded.tokenizer)

    def prompt_text(self, row: Row) -> str:
        """What the model reads of a row whose input is a prompt: the spec's template around it, where there is one."""
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
        """The settings that the checkpoint itself states: the lowest layer."""
        return {}

    def check(self, settings: Settings) -> None:  # noqa: B027 - most families have nothing to check
        """Raises ParamsError for settings that cannot work with this checkpoint."""

    def rows(self, data: Any) -> list[Row] | None:  # noqa: ARG002 - of columns, most often
        """The rows of input that has a form of its own, as a conversation has; None for rows of the task's columns.

        Raises InputError naming the row.
        """
        return None

    def check_rows(self, rows: Sequence[Row]) -> None:  # noqa: B027 - most rows stand for themselves
        """Raises InputError when the rows of a call have no common form of answer."""

    def belonging(self, settings: Settings) -> Callable[[Row, Row], bool] | None:  # noqa: ARG002 - for most tasks
        """Whether a row's answer depends on the row before it, so that preprocess must see both; None for never."""
        return None

    def declared(self, outputs: tuple[Column, ...] | Tensor, settings: Settings) -> tuple[Column, ...] | Tensor:  # noqa: ARG002
        """The signature's ``outputs`` under the settings of a call: the same for most tasks."""
        return outputs

    @abstractmethod
    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Any]]:
        """The rows' items, in the rows' order: one a row, or several where the model is asked several times for one row
        (a window of a long text each, a hypothesis each), next to each other and with that row's number. Raises
        InputError naming the row.
        """

    @abstractmethod
    def run(self, batch: Sequence[Item[Any]], settings: Settings) -> Any:
        """What ``read`` makes a batch's results of. A GPU may still be at it: the host waits for nothing here."""

    def read(self, made: Any, batch: Sequence[Item[Any]], settings: Settings) -> Sequence[Any]:  # noqa: ARG002
        """The model's result for each item of a batch, from what ``run`` made of it, waited for; each equal to what the
        item would get alone. By default ``run`` has waited already.
        """
        results: Sequence[Any] = made
        return results

    def joined(self, parts: Sequence[Any], settings: Settings) -> Any:  # noqa: ARG002 - of one part, most often
        """A row's result from those of its items, in their order."""
        return parts[0]

    @abstractmethod
    def standard(self, results: Sequence[Any], settings: Settings) -> Any:
        """The task's standard form, a Table where that is a data frame; of no rows when there are no results."""

    @abstractmethod
    def full(self, results: Sequence[Any], settings: Settings) -> list[dict[str, Any]]:
        """Everything the model knows, one dict of JSON values, arrays and texts a row."""

    def answer(self, result: Any, settings: Settings, form: str) -> Any:
        """What one row by itself is answered, in the standard or the full form: an item of what those give for many."""
        made = self.full([result], settings) if form == FULL else self.standard([result], settings)
        return made[0]

    @property
    def ahead(self) -> int:
        """How many batches are launched before the results of an earlier one are read: a GPU computes while the host
        reads, a CPU has computed when run returns.
        """
        return memory.ahead(self.request.device)

    @property
    def pass_tokens(self) -> int | None:
        """What a forward pass takes beside its tokens, in tokens; None: more than any padding, on a GPU, which computes
        padding at little cost, and where most steps of a pass are for one token a row.
        """
        return PASS if self.request.device == "cpu" and self.cpu_tokens is None else None

    def budget(self, settings: Settings) -> int:
        """How many tokens one forward pass may hold."""
        return 1 if self.alone else int(settings.get("batch_tokens") or 1)
