"""A context in which transformers logs nothing below an error."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from threading import get_ident
from typing import Any

LIBRARY = "transformers"


@contextmanager
def quiet(below: int = logging.ERROR) -> Iterator[None]:
    """Drop this thread's records of transformers below this level while the block makes its objects: those that matter
    are errors here (missing or mismatched weights), the rest is for training. Its verbosity, its bars and the filters
    of warnings stay the host's, and so do the records of other threads meanwhile.
    """
    import_module("transformers.utils.logging")  # it makes the handlers

    heard = _Heard(below, get_ident())
    library = logging.getLogger(LIBRARY)
    handlers = [library, *library.handlers]
    for handler in handlers:
        handler.addFilter(heard)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(heard)


class _Heard(logging.Filter):
    """The filter of one thread's records; ``thread``: its threading.get_ident()."""

    def __init__(self, below: int, thread: int) -> None:
        super().__init__()
        self._below, self._thread = below, thread

    def filter(self, record: logging.LogRecord) -> bool:
        is_librarys = record.name.partition(".")[0] == LIBRARY  # a host may have one handler for several
        return not is_librarys or record.levelno >= self._below or record.thread != self._thread


def is_tokenizer(value: Any) -> bool:
    """Whether this is a tokenizer: transformers makes an object of whatever class a tokenizer's files name."""
    from transformers import PreTrainedTokenizerBase

    return isinstance(value, PreTrainedTokenizerBase)
