"""Lines of JSON, a row each: their values, and the answers to them with an error object where there is none."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from hfspec.errors import InputError, RowError, StorageError, UsageError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16 = (b"\xff\xfe", b"\xfe\xff")
NAMED = 10  # lines that the summary names


class UnansweredLinesError(UsageError):
    """Some lines have an error object instead of an answer."""


class JsonLines:
    """The rows in lines of JSON, and the line of each. Lines count from 1, as in editors, empty ones included; an empty
    line holds no row.
    """

    def __init__(self, lines: Iterable[bytes], option: str) -> None:
        self._lines = lines
        self._option = option
        self._waiting: deque[int] = deque()
        self._read = 0
        self._broken: OSError | None = None
        self._unanswered = 0
        self._first: list[int] = []

    def rows(self) -> Iterator[Any]:
        """The value of each line, an InputError for a line that holds none. An input that breaks off ends here.

        Raises UsageError for text that is not UTF-8 from its first bytes on.
        """
        try:
            for number, line in enumerate(self._lines, start=1):
                self._read = number
                text = self._text(line) if number == 1 else line
                if text.strip():
                    self._waiting.append(number)
                    yield _value(text)
        except OSError as error:
            self._broken = error

    def answers(self, answers: Iterable[Any]) -> Iterator[Any]:
        """The answers to the rows, in order, each RowError as an object with its kind, message and line.

        Raises UnansweredLinesError after the last answer where some lines have none, StorageError where the input broke
        off.
        """
        for answer in answers:
            line = self._waiting.popleft()
            if isinstance(answer, RowError):
                self._note(line)
                yield {"error": {"kind": type(answer).__name__, "message": answer.reason, "line": line}}
            else:
                yield answer
        self._check_whole()

    def _text(self, first: bytes) -> bytes:
        if first.startswith(UTF_16):
            raise UsageError(f"{self._option}: this is UTF-16; lines of JSON are UTF-8, so save it as that.")
        return first.removeprefix(BYTE_ORDER_MARK)

    def _note(self, line: int) -> None:
        self._unanswered += 1
        if len(self._first) < NAMED:
            self._first.append(line)

    def _check_whole(self) -> None:
        numbers = ("line " if self._unanswered == 1 else "lines ") + ", ".join(map(str, self._first))
        others = " and others" if self._unanswered > NAMED else ""
        message = (
            f"{self._option}: {self._unanswered} of {self._read} lines got an error object instead of an answer:"
            f" {numbers}{others}."
        )
        if self._broken is not None:
            after = f" Before that, {message}" if self._unanswered else ""
            raise StorageError(
                f"{self._option}: the input broke off after line {self._read}: {self._broken.strerror}.{after}"
            )
        if self._unanswered:
            raise UnansweredLinesError(message)


def _value(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        return InputError(f"this is not JSON: {error}.")
