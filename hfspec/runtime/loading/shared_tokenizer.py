"""One tokenizer for calls at once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import RLock
from types import MethodType
from typing import Any


class SharedTokenizer:
    """A tokenizer of transformers that runs one method at a time, whichever thread calls it.

    A tokenizer keeps how it truncates and pads from one call to the next: of two calls at once one would cut as the
    other asks, and a setting during another's encoding or decoding raises "Already borrowed". Its attributes are the
    tokenizer's own, its class included.
    """

    def __init__(self, tokenizer: Any) -> None:
        object.__setattr__(self, "_inner", tokenizer)
        object.__setattr__(self, "_turn", RLock())

    @property  # type: ignore[misc]  # so that isinstance() finds the tokenizer's class
    def __class__(self) -> Any:
        return self._inner.__class__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with self._turn:
            return self._inner(*args, **kwargs)

    def __len__(self) -> int:
        with self._turn:
            return len(self._inner)

    def __getattr__(self, name: str) -> Any:
        if name in ("_inner", "_turn"):  # a copy is still without them
            raise AttributeError(name)
        with self._turn:
            value = getattr(self._inner, name)
        return self._in_turn(value) if isinstance(value, MethodType) else value

    def __setattr__(self, name: str, value: Any) -> None:
        with self._turn:
            setattr(self._inner, name, value)

    def _in_turn(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            with self._turn:
                return method(*args, **kwargs)

        return call


def library_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer of transformers behind one for calls at once."""
    return object.__getattribute__(tokenizer, "_inner") if isinstance(tokenizer, SharedTokenizer) else tokenizer
