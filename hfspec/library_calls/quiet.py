"""Objects of transformers made without a word of it below an error."""

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
    """What the library logs below this level is not heard of this thread while its objects are made: what matters in it
    is an error here (missing or mismatched weights), the rest speaks to those who train. Its verbosity, its bars and
    the filters of warnings are the host's, and so is what other threads log meanwhile.
    """
    import_module("transformers.utils.logging")  # which makes the handlers

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
    """``thread``: whose records count, by what threading.get_ident() says of it."""

    def __init__(self, below: int, thread: int) -> None:
        super().__init__()
        self._below, self._thread = below, thread

    def filter(self, record: logging.LogRecord) -> bool:
        is_librarys = record.name.partition(".")[0] == LIBRARY  # a host may have one handler for several
        return not is_librarys or record.levelno >= self._below or record.thread != self._thread


def is_tokenizer(made: Any) -> bool:
    """Whether this is a tokenizer: the library makes of a tokenizer's files whatever class they name."""
    from transformers import PreTrainedTokenizerBase

    return isinstance(made, PreTrainedTokenizerBase)
