"""Answers while the model makes them: it runs in a thread of its own, its tokens come out as pieces of text."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

from hfspec.runtime.generation import stop_text
from hfspec.runtime.generation.causal_generation import Continuation
from hfspec.runtime.io.token_texts import text_of

UNFINISHED = "�"  # a tokenizer decodes half of a character to this


class TokenStream:
    """A streamer for generate(): it gets the prompt, then each token. ``abandoned``: nobody reads on."""

    def __init__(self) -> None:
        self.abandoned = False
        self._queue: SimpleQueue[int | None] = SimpleQueue()
        self._begun = False
        self._made: Continuation | BaseException | None = None

    def put(self, value: Any) -> None:
        if self._begun:
            for token in value.reshape(-1).tolist():
                self._queue.put(token)
        self._begun = True

    def end(self) -> None:
        """Called by generate(); the end is marked when its result is there."""

    def run(self, generate: Callable[[TokenStream], Continuation]) -> None:
        """Generate into this stream, keeping the result or what was raised."""
        try:
            self._made = generate(self)
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            self._made = error
        finally:
            self._queue.put(None)

    def __iter__(self) -> Iterator[int]:
        while (token := self._queue.get()) is not None:
            yield token

    def made(self) -> Continuation:
        """The whole answer, once the tokens have ended; raises what the model raised."""
        if isinstance(self._made, BaseException):
            raise self._made
        assert self._made is not None
        return self._made


def tokens(generate: Callable[[TokenStream], Continuation]) -> Generator[int, None, Continuation]:
    """The answer's tokens as a thread of its own makes them; the generator returns the whole answer."""
    stream = TokenStream()
    worker = Thread(target=stream.run, args=(generate,), daemon=True)
    worker.start()
    try:
        yield from stream
        return stream.made()
    finally:
        stream.abandoned = True
        worker.join()


def pieces(
    tokenizer: Any, stops: Sequence[str], generate: Callable[[TokenStream], Continuation]
) -> Generator[str, None, Continuation]:
    """The answer's text piece by piece; the generator returns the whole answer, whose text the pieces make up.

    No piece ends in half of a character, or in what may turn out to be the beginning of a stop text.
    """
    sent = ""
    ids: list[int] = []
    stream = tokens(generate)
    try:
        while True:
            ids.append(next(stream))
            sure = certain(text_of(tokenizer, ids, skip_special_tokens=True), stops)
            if len(sure) > len(sent):
                yield sure[len(sent) :]
                sent = sure
    except StopIteration as stop:
        answer: Continuation = stop.value
    finally:
        stream.close()
    if len(answer.text) > len(sent):
        yield answer.text[len(sent) :]
    return answer


def certain(text: str, stops: Sequence[str]) -> str:
    """The beginning of the text that further tokens cannot change."""
    whole = text.rstrip(UNFINISHED)
    if (cut := stop_text.before(whole, stops)) is not None:
        return cut
    return whole[: len(whole) - stop_text.held_back(whole, stops)]
