"""What a model answers is made of numbers: nan and infinities are noticed where they reach the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hfspec.errors import OutputError
from hfspec.ir.dtypes import arithmetic_of


class NotFiniteError(OutputError):
    """What the model made for the item at ``place`` of its batch holds nan or infinity."""

    def __init__(self, place: int) -> None:
        self.place = place
        super().__init__("the model's answer holds nan or infinity; another dtype may help.")


def not_finite(dtype: str, row: int | None, field: str = "") -> OutputError:
    """The error for the row, with what may help. ``field``: the part of a nested answer."""
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
    """What is not finite in the block is an OutputError naming the row; where there is one row, every OutputError names
    it. ``rows``: of each item of the batch.
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
    """The places in the block are of lines, of which each item of the batch has so many, one after the other."""
    try:
        yield
    except NotFiniteError as error:
        raise NotFiniteError([item for item, count in enumerate(counts) for _ in range(count)][error.place]) from error


def check(values: Any, lengths: Sequence[int] | None = None, *, masked: bool = False) -> None:
    """Raises NotFiniteError when a tensor of floats, an item a line, holds nan or infinity. ``lengths``: how many of a
    line's places count, the others being padding. ``masked``: the model itself writes -infinity for what is left out.
    """
    if not values.is_floating_point() or bool(values.isfinite().all()):
        return
    _refuse_marked((values.isnan() | values.isposinf()) if masked else ~values.isfinite(), lengths)


def _refuse_marked(wrong: Any, lengths: Sequence[int] | None) -> None:
    """Raises NotFiniteError for the first line with a mark, padding apart."""
    for place, line in enumerate(wrong):
        if bool((line if lengths is None else line[: lengths[place]]).any()):
            raise NotFiniteError(place)


class Computed:
    """An array of numpy that is on the host already, an item a line; in place of a tensor on its way there.
    ``lengths``, ``masked``: as ``check`` takes them.
    """

    def __init__(self, made: Any, lengths: Sequence[int] | None = None, *, masked: bool = False) -> None:
        self._made, self._lengths, self._masked = made, lengths, masked

    def here(self) -> Any:
        """The array. Raises NotFiniteError."""
        import numpy as np

        if not np.isfinite(self._made).all():
            left_out = np.isneginf(self._made) if self._masked else np.zeros_like(self._made, dtype=bool)
            _refuse_marked(~np.isfinite(self._made) & ~left_out, self._lengths)
        return self._made


@dataclass(frozen=True, slots=True)
class FiniteLogits:
    """A logits processor of the library's form that changes nothing; ``items``: how many prompts the batch has, each
    with as many rows. Raises NotFiniteError.
    """

    items: int

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - the library's form
        if bool((wrong := unusable(scores)).any()):
            raise NotFiniteError(int(wrong.nonzero()[0, 0]) * self.items // scores.shape[0])
        return scores


def unusable(logits: Any) -> Any:
    """The rows (rows, vocabulary) of which no token is the likeliest: they hold nan or infinity, or nothing else than
    what is left out.
    """
    return ~logits.amax(dim=-1).isfinite()
