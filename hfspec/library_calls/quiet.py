"""Objects of transformers made without its progress bars and warnings."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """The library's progress bars and warnings off while its objects are made: what matters in them is an error here
    (missing or mismatched weights), the rest speaks to those who train. Of several threads in it at once, the last one
    out puts back what the first one found, since Python and the library keep it for the whole process.
    """
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


class _Quiet:
    """``_inside``: how many are in the block; ``_before``: what puts things back."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._before = ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._begin()
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._before.close()

    def _begin(self) -> None:
        from transformers.utils import logging

        self._before.callback(logging.set_verbosity, logging.get_verbosity())
        if logging.is_progress_bar_enabled():
            self._before.callback(logging.enable_progress_bar)
        self._before.enter_context(warnings.catch_warnings())
        logging.set_verbosity_error()
        logging.disable_progress_bar()
        warnings.simplefilter("ignore")


_QUIET = _Quiet()


def is_tokenizer(made: Any) -> bool:
    """Whether this is a tokenizer: the library makes of a tokenizer's files whatever class they name."""
    from transformers import PreTrainedTokenizerBase

    return isinstance(made, PreTrainedTokenizerBase)
