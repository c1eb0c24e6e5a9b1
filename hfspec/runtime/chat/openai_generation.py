"""The core of chat and completions: requests in, each with its own settings; choices out, whole or in pieces.

A request's choices are items of their own, so that choice i with a seed equals the choice of a request with the seed
plus i. The usage counts a prompt once, however many choices it has, and every token of the model, those that end an
answer included.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, ClassVar

from hfspec.errors import InputError, ParamsError
from hfspec.inputs.openai_requests import Request, checked, to_requests
from hfspec.inputs.row import Row
from hfspec.ir.artifact import FULL
from hfspec.runtime.chat.openai_objects import Head, World, usage
from hfspec.runtime.generation import stop_text
from hfspec.runtime.generation.causal_generation import Asked, CausalGeneration, Continuation, Prompt, account
from hfspec.runtime.generation.streaming import TokenStream, certain, pieces, tokens
from hfspec.runtime.io import finite
from hfspec.runtime.io.token_texts import text_of
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings import generation
from hfspec.settings.precedence import Settings
from hfspec.settings.request_settings import generating


@dataclass(frozen=True, slots=True)
class Ask:
    """One choice that a request asks for. ``first``: whether it is the first of its prompt."""

    request: Request
    prompt: Prompt
    index: int
    first: bool
    settings: Settings


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice; ``made``: its answer, None while it is to be streamed."""

    ask: Ask
    made: Continuation | None


Reply = tuple[Choice, ...]


class OpenAIGeneration(CausalGeneration):
    """A runner with one object a request; for a single request the object itself, or an iterator of its pieces."""

    prefix: ClassVar[str]
    world: World

    def __init__(self, request: LoadRequest, world: World | None = None) -> None:
        super().__init__(request)
        self.world = world or self.world

    def take(self, request: LoadRequest) -> None:
        super().take(request)
        self.name = request.manifest.name
        self.signature = request.manifest.signature
        self.world = World()

    @abstractmethod
    def prompts(self, request: Request) -> list[tuple[str, list[int]]]:
        """The prompts of a request, as text and tokens; raises InputError naming the row."""

    @abstractmethod
    def whole(self, head: Head, reply: Reply, counts: dict[str, int]) -> dict[str, Any]:
        """The object that answers a request."""

    @abstractmethod
    def opening(self, head: Head, ask: Ask) -> list[dict[str, Any]]:
        """The first chunks of a choice in a stream."""

    @abstractmethod
    def piece(self, head: Head, index: int, text: str | None, finish_reason: str | None) -> dict[str, Any]:
        """One chunk of a stream; no text in the last one of a choice."""

    @abstractmethod
    def last(self, head: Head, counts: dict[str, int]) -> dict[str, Any]:
        """The chunk that tells the usage."""

    def check(self, settings: Settings) -> None:
        super().check(generating(settings))

    def rows(self, data: Any) -> list[Row]:
        return to_requests(data, str(self.task.inputs[0].name))

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[Ask]]:
        requests = [checked(row, settings, self.task, self.signature) for row in rows]
        return [self._item(ask) for request in requests for ask in self._asks(request)]

    def _asks(self, request: Request) -> Iterator[Ask]:
        settings = generating(request.settings)
        if request.streams and (settings.get("num_beams") or 1) > 1:
            raise InputError(
                "an answer found by beam search cannot be streamed; leave stream out.", request.row, "stream"
            )
        try:
            super().check(settings)
        except ParamsError as error:
            raise InputError(str(error), request.row, error.key) from error
        count = int(request.settings["n"])
        for place, (text, ids) in enumerate(self.prompts(request)):
            prompt = self.prompt(request.row, text, ids, settings)
            for number in range(count):
                own = _with_seed(settings, number)
                yield Ask(request, prompt, place * count + number, number == 0, own)

    def _item(self, ask: Ask) -> Item[Ask]:
        alone = (ask.request.row, ask.index)
        settings = ask.settings.over({"seed": None}).fingerprint()
        # Choices without a seed draw from torch's own generator, and wait for it together.
        shared = (settings, ask.settings.get("seed") is None, alone if ask.request.streams else None)
        group = (*self.group(ask.prompt, ask.settings, alone), *shared)
        return Item(ask.request.row, self.weight(ask.prompt, ask.settings), ask, group)

    def run(self, batch: Sequence[Item[Ask]], settings: Settings) -> list[Choice]:
        asks = [item.content for item in batch]
        if asks[0].request.streams:
            return [Choice(ask, None) for ask in asks]
        seeds = [ask.settings.get("seed") for ask in asks]
        answers = self.continued([ask.prompt for ask in asks], asks[0].settings, seeds=seeds)
        return [Choice(ask, answer) for ask, (answer,) in zip(asks, answers, strict=True)]

    def asked(self, item: Item[Any], settings: Settings) -> Asked | None:
        ask: Ask = item.content
        prompt = super().asked(item, ask.settings)
        return None if prompt is None else replace(prompt, prompt=ask.prompt, answers=1)

    def finished(self, item: Item[Any], answers: tuple[Continuation, ...]) -> Choice:
        return Choice(item.content, answers[0])

    def streamed(self, asks: Sequence[Ask]) -> Chunks:
        """The chunks of a request's choices, which somebody else makes."""
        return Chunks(self, self._head(), asks)

    def joined(self, parts: Sequence[Choice], settings: Settings) -> Reply:
        return tuple(parts)

    def standard(self, results: Sequence[Reply], settings: Settings) -> Any:
        if len(results) == 1 and (request := results[0][0].ask.request).single:
            return self._stream(results[0]) if request.streams else self._whole(results[0])
        return [self._whole(reply) for reply in results]

    def full(self, results: Sequence[Reply], settings: Settings) -> list[dict[str, Any]]:
        return [
            {"request": choice.ask.request.row, "index": choice.ask.index, **account(answer, answer.text)}
            for reply in results
            for choice in reply
            for answer in [choice.made or self._generate(choice.ask)]
        ]

    def answer(self, result: Reply, settings: Settings, form: str) -> Any:
        """The object; in the full form a list, one a choice."""
        return self.full([result], settings) if form == FULL else self._whole(result)

    def _whole(self, reply: Reply) -> dict[str, Any]:
        answers = [choice.made for choice in reply if choice.made is not None]
        return self.whole(self._head(), reply, usage(_prompt_tokens(reply), sum(answer.tokens for answer in answers)))

    def _stream(self, reply: Reply) -> Iterator[dict[str, Any]]:
        """The chunks of all choices, one choice after the other, then the usage where the request asks for it."""
        head, count = self._head(), 0
        tells = reply[0].ask.request.tells_usage
        for choice in reply:
            chunks = self._chunks(head, choice.ask)
            try:
                with finite.named(self.dtype, [0]):
                    while True:
                        yield {**next(chunks), **({"usage": None} if tells else {})}
            except StopIteration as stop:
                count += stop.value
            finally:
                chunks.close()
        if tells:
            yield self.last(head, usage(_prompt_tokens(reply), count))

    def _chunks(self, head: Head, ask: Ask) -> Generator[dict[str, Any], None, int]:
        """The chunks of one choice; returns how many tokens it has."""
        yield from self.opening(head, ask)
        text = pieces(self.tokenizer, stop_text.texts(ask.settings), partial(self._generate, ask))
        try:
            while True:
                yield self.piece(head, ask.index, next(text), None)
        except StopIteration as stop:
            answer: Continuation = stop.value
        finally:
            text.close()
        yield self.piece(head, ask.index, None, answer.finish_reason)
        return answer.tokens

    def tokens(self, ask: Ask) -> Generator[int, None, Continuation]:
        """The tokens of one choice as the model makes them; returns the whole answer."""
        return tokens(partial(self._generate, ask))

    def _generate(self, ask: Ask, stream: TokenStream | None = None) -> Continuation:
        with finite.named(self.dtype, [0]):
            ((answer,),) = self.continued([ask.prompt], ask.settings, stream)
        return answer

    def _head(self) -> Head:
        return Head.new(self.prefix, self.name, self.world)


@dataclass(slots=True)
class Chunks:
    """A request's stream while the model makes its choices side by side: each token becomes the chunks that it makes
    sure. ``asks``: one a choice, by its index.
    """

    runner: OpenAIGeneration
    head: Head
    asks: Sequence[Ask]
    _said: dict[int, str] = field(default_factory=dict)
    _ids: dict[int, list[int]] = field(default_factory=dict)
    _made: int = 0

    def opening(self) -> list[dict[str, Any]]:
        """The first chunks of the stream."""
        return [self._with_usage(chunk) for ask in self.asks for chunk in self.runner.opening(self.head, ask)]

    def token(self, index: int, tokens: Sequence[int]) -> list[dict[str, Any]]:
        """The chunks of a choice's next tokens."""
        ids = self._ids.setdefault(index, [])
        ids += tokens
        text = text_of(self.runner.tokenizer, ids, skip_special_tokens=True)
        return self._pieces(index, certain(text, stop_text.texts(self.asks[index].settings)))

    def begin_again(self, index: int) -> None:
        """Expect the choice's tokens once more from the first; the stream does not send their text again."""
        self._ids.pop(index, None)

    def end(self, index: int, answer: Continuation) -> list[dict[str, Any]]:
        """The last chunks of a choice."""
        self._made += answer.tokens
        return [
            *self._pieces(index, answer.text),
            self._with_usage(self.runner.piece(self.head, index, None, answer.finish_reason)),
        ]

    def closing(self) -> list[dict[str, Any]]:
        """The end of the stream: the usage, where the request asks for it."""
        if not self.asks[0].request.tells_usage:
            return []
        count = sum(ask.prompt.shown for ask in self.asks if ask.first)
        return [self.runner.last(self.head, usage(count, self._made))]

    def _pieces(self, index: int, text: str) -> list[dict[str, Any]]:
        sent = self._said.get(index, "")
        if len(text) <= len(sent):
            return []
        self._said[index] = text
        return [self._with_usage(self.runner.piece(self.head, index, text[len(sent) :], None))]

    def _with_usage(self, chunk: dict[str, Any]) -> dict[str, Any]:
        return {**chunk, "usage": None} if self.asks[0].request.tells_usage else chunk


def _prompt_tokens(reply: Reply) -> int:
    return sum(choice.ask.prompt.shown for choice in reply if choice.ask.first)


def _with_seed(settings: Settings, number: int) -> Settings:
    """The settings of choice ``number``, which samples from a seed of its own."""
    seed = settings.get("seed")
    return (
        settings
        if not number or seed is None or not generation.samples(settings)
        else settings.over({"seed": seed + number})
    )
