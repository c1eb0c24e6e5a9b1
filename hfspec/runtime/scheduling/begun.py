"""A call whose rows are known, from which predict, predict_iter and a server make answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hfspec.errors import OutputError, RowError
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.ir.signature import Column, Tensor
from hfspec.runtime.io.output_check import check_output
from hfspec.runtime.scheduling.call import Call


@dataclass(frozen=True, slots=True)
class Begun:
    """A call and its rows. ``form``: of the answer, standard or full; ``outputs``: of the signature."""

    call: Call
    rows: list[Row]
    form: str
    outputs: tuple[Column, ...] | Tensor

    def answer(self, results: Sequence[Any]) -> Any:
        """The answer to all rows, from the result of each; raises OutputError."""
        runner, settings = self.call.runner, self.call.settings
        if self.form == FULL:
            return runner.full(results, settings)
        answer = runner.standard(results, settings)
        check_output(answer, runner.declared(self.outputs, settings), runner.dtype)
        return answer

    def fits(self, results: Sequence[Any]) -> bool:
        """Whether these results together fit the signature."""
        if self.form == FULL:
            return True
        try:
            self._check(results)
        except OutputError:
            return False
        return True

    def answer_of(self, result: Any, number: int, *, fits: bool) -> Any:
        """The answer to the row of this number, checked by itself where its window does not fit the signature. Where
        the call takes refused rows, an error is the answer.

        Raises OutputError naming the row.
        """
        try:
            if not fits:
                self._check([result])
            return self.call.runner.answer(result, self.call.settings, self.form)
        except OutputError as error:
            problem = OutputError(error.reason, row=number)
            if self.call.refused is None:
                raise problem from error
            return problem

    def each(self, windows: Iterable[Sequence[Any]]) -> Iterator[Any]:
        """The answer to each row, from the results of each window, the rows numbered from 0 over all of them; raises as
        answer_of.
        """
        first = 0
        for results in windows:
            fits = self.fits([answer for answer in results if not isinstance(answer, RowError)])
            for number, result in enumerate(results, start=first):
                yield result if isinstance(result, RowError) else self.answer_of(result, number, fits=fits)
            first += len(results)

    def _check(self, results: Sequence[Any]) -> None:
        runner, settings = self.call.runner, self.call.settings
        check_output(runner.standard(results, settings), runner.declared(self.outputs, settings), runner.dtype)
