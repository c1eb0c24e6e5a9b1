"""The check that a model's answer is made of numbers: it notices nan and infinities where they reach the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hfspec.errors import OutputError
from hfspec.ir.dtypes import arithmetic_of


class NotFiniteError(OutputError):
    """The model's output for the item at ``place`` of its batch holds nan or infinity."""

    def __init__(self, place: int) -> None:
        self.place = place
        super().__init__("the model's answer holds nan or infinity; another dtype may help.")


def not_finite(dtype: str, row: int | None, field: str = "") -> OutputError:
    """The error for the row, with its remedy. ``field``: the part of a nested answer."""
    wider = " or ".join(arithmetic_of(dtype).wider)
    remedy = f"load the model in {wider} (`dtype` of the spec or of load), or look" if wider else "look"
    inside = f" in {field}" if field else ""
    return OutputError(
        f"the model computes nan or infinity{inside}, which is not an answer: in {dtype} its values overflow or its"
        f" weights are damaged; {remedy} at the checkpoint's weights.",
        row=row,
    )


@contextmanager
def named(dtype: str, rows: Sequence[int]) -> Iterator[None]:
    """Turn a NotFiniteError of the block into an OutputError naming the row; with one row, name it in every
    OutputError. ``rows``: the row of each item of the batch.
    """
    try:
        yield
    except NotFiniteError as error:
        raise not_finite(dtype, rows[error.place]) from error
    except OutputError as error:
        if error.row is not None or len(rows) != 1:
            raise
        raise OutputError(error.reason, row=rows[0]) from error


@contextmanager
def lines(counts: Sequence[int]) -> Iterator[None]:
    """Turn the place of a line in a block's NotFiniteError into that of its item; ``counts``: the lines of each item,
    which follow one another.
    """
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError([item for item, count in enumerate(counts) for _ in range(count)][error.place]) from error


def check(values: Any, lengths: Sequence[int] | None = None, *, masked: bool = False) -> None:
    """Raises NotFiniteError when a tensor of floats, an item a line, holds nan or infinity. ``lengths``: how many of a
    line's places count, the others being padding. ``masked``: the model itself writes -infinity for masked places.
    """
    if not values.is_floating_point() or bool(values.isfinite().all()):
        return
    _refuse_marked((values.isnan() | values.isposinf()) if masked else ~values.isfinite(), lengths)


def _refuse_marked(marks: Any, lengths: Sequence[int] | None) -> None:
    """Raises NotFiniteError for the first line with a mark, padding apart."""
    for place, line in enumerate(marks):
        if bool((line if lengths is None else line[: lengths[place]]).any()):
            raise NotFiniteError(place)


class Computed:
    """An array of numpy that is on the host already, an item a line, in place of a tensor on its way there.
    ``lengths``, ``masked``: for ``check``.
    """

    def __init__(self, array: Any, lengths: Sequence[int] | None = None, *, masked: bool = False) -> None:
        self._made, self._lengths, self._masked = array, lengths, masked

    def here(self) -> Any:
        """The array. Raises NotFiniteError."""
        import numpy as np

        if not np.isfinite(self._made).all():
            left_out = np.isneginf(self._made) if self._masked else np.zeros_like(self._made, dtype=bool)
            _refuse_marked(~np.isfinite(self._made) & ~left_out, self._lengths)
        return self._made


@dataclass(frozen=True, slots=True)
class FiniteLogits:
    """A logits processor for generate() that changes nothing; ``items``: how many prompts the batch has, each with as
    many rows. Raises NotFiniteError.
    """

    items: int

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        if bool((faults := unusable(scores)).any()):
            raise NotFiniteError(int(faults.nonzero()[0, 0]) * self.items // scores.shape[0])
        return scores


def unusable(logits: Any) -> Any:
    """Whether each row (rows, vocabulary) has no likeliest token: it holds nan, infinity, or masked tokens alone."""
    return ~logits.amax(dim=-1).isfinite()
