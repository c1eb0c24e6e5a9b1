"""One request and its answer: the body within its limits, the model it names, the caller who may leave."""

from __future__ import annotations

import asyncio
import time
from codecs import BOM_UTF8
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    MutableMapping,
)
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import FormData, Headers
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from hfspec.serving.front import addresses
from hfspec.serving.front.admission import Load
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.model import Asking, Model
from hfspec.serving.front.packed import unpacking
from hfspec.serving.replica.job import Form

if TYPE_CHECKING:
    from hfspec.serving.front.app import App

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

JSON = "application/json"
TIMEOUT = b"x-request-timeout"  # seconds that the caller waits
FILES, FIELDS = 256, 256  # most files and fields of a form
END = object()
OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


class LeftError(Exception):
    """The caller has left."""


class Exchange:
    """``id``: in the answer's headers and in every line of the log; ``names``: the parts of the path that vary;
    ``model_name``, ``endpoint``, ``used``, ``status``: for the meters; ``protocol``: the endpoint's.
    """

    def __init__(self, app: App, scope: Scope, receive: Receive, request_id: str) -> None:
        self.app, self.scope, self.id = app, scope, request_id
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.names: Mapping[str, str] = {}
        self.begun = time.monotonic()
        self.model_name = ""
        self.endpoint = ""
        self.protocol = ""
        self.caller = ""
        self.status = 0
        self.used: dict[str, Any] = {}
        self.sent: bytes = b""
        self._receive = receive
        self._is_read = False

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def content_type(self) -> str:
        """The kind of the body, without its parameters."""
        return self.headers.get(b"content-type", b"").split(b";")[0].strip().decode("latin-1").lower()

    def model(self, name: Any) -> Model:
        """The model of the name that a request gives, or the only one where it is None; raises RequestError, also where
        the model is not offered by the protocol of the endpoint.
        """
        if name is not None and not isinstance(name, str):
            raise RequestError(400, "model: expected the name of a model, a text.", "InputError", key="model")
        model = self.app.models.find(name)
        self.model_name = model.name
        if self.protocol not in model.protocols:
            names = ", ".join(model.protocols)
            raise RequestError(
                404,
                f"the model {model.name!r} is not offered by the protocol {self.protocol}; it is offered by: {names}.",
                "EndpointError",
            )
        return model

    def offered(self) -> list[Model]:
        """The loaded models that the protocol of the endpoint can ask."""
        models = [model for model in self.app.models if model.generation is not None]
        return [model for model in models if self.protocol in model.protocols]

    def only(self, tasks: Collection[str] | None = None) -> Model:
        """The model that the query's or the header's ``model`` names, else the only one that the protocol can ask and
        that is for one of the ``tasks``, by their canonical names; raises RequestError.
        """
        names = parse_qs(self.scope["query_string"].decode("latin-1")).get("model")
        header = self.headers.get(b"model", b"").decode("latin-1")
        able = [model for model in self.offered() if tasks is None or model.task in tasks]
        if names or header or len(able) != 1:
            if not names and not header and able:
                choices = ", ".join(model.name for model in able)
                raise RequestError(400, f"say which model, by ?model= or the header model: {choices}.", "ModelError")
            return self.for_tasks(self.model(names[0] if names else header or None), tasks)
        return self.model(able[0].name)

    def for_tasks(self, model: Model, tasks: Collection[str] | None) -> Model:
        """The model, where it is for one of the tasks; raises RequestError."""
        if tasks is not None and model.task not in tasks:
            raise RequestError(
                400,
                f"the model {model.name!r} is for {model.task}, and {self.path} is not answered by such models.",
                "TaskError",
            )
        return model

    async def body(self) -> bytes:
        """The whole body; raises RequestError: 413 for one that is too large, 408 for one that does not come."""
        if self._is_read:
            return self.sent
        most = self.app.settings.limits.body
        length = self.headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        parts = [part async for part in self.chunks()]
        self.sent = parts[0] if len(parts) == 1 else b"".join(parts)
        return self.sent

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes, made plain where it is compressed; raises the same."""
        limits, size = self.app.settings.limits, 0
        plain = unpacking(self.headers.get(b"content-encoding", b"").decode("latin-1").strip().lower())
        more = True
        while more:
            try:
                async with asyncio.timeout(limits.slow_client_seconds):
                    message = await self._receive()
            except TimeoutError as error:
                raise RequestError(408, "the body did not come in time.", "TimeoutError") from error
            if message["type"] == "http.disconnect":
                raise LeftError
            part = message.get("body", b"")
            if plain is not None:
                part = plain(part, limits.body - size + 1)
            size += len(part)
            if size > limits.body:
                raise _too_large(limits.body)
            more = message.get("more_body", False)
            if part:
                yield part
        if plain is not None:
            plain.end()
        self._is_read = True

    async def json(self) -> Any:
        """The body as JSON; raises RequestError."""
        kind = self.content_type
        if kind not in ("", JSON) and not kind.endswith("+json"):
            raise RequestError(415, f"the body must be JSON ({JSON}), not {kind}.", "ContentTypeError")
        sent = await self.body()
        try:
            return loaded(sent)
        except ValueError as error:
            raise RequestError(400, f"the body is not JSON: {error}.", "JSONError") from error

    async def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; raises RequestError."""
        value = await self.json()
        if not isinstance(value, dict):
            raise RequestError(400, "the body must be a JSON object.", "JSONError")
        return value

    def seconds(self) -> float | None:
        """How long the caller waits, by its header; raises RequestError."""
        header = self.headers.get(TIMEOUT)
        if header is None:
            return None
        with suppress(ValueError):
            if 0 < (number := float(header)) < float("inf"):
                return number
        raise RequestError(400, "x-request-timeout must be a number of seconds above 0.", "HeaderError")

    async def form(self) -> FormData:
        """The body as a form with files; raises RequestError."""
        if self.content_type != "multipart/form-data":
            raise RequestError(415, "the body must be multipart/form-data.", "ContentTypeError")
        sent = await self.body()

        async def whole() -> AsyncGenerator[bytes, None]:
            yield sent

        parser = MultiPartParser(Headers(raw=self.scope["headers"]), whole(), max_files=FILES, max_fields=FIELDS)
        parser.spool_max_size = len(sent) + 1  # it is in memory already
        try:
            return await parser.parse()
        except (MultiPartException, KeyError, ValueError) as error:
            raise RequestError(400, f"the body is not a form: {error}.", "FormError") from error

    def asking(
        self,
        data: Any,
        rows: int,
        params: Mapping[str, Any] | None = None,
        outputs: str | None = None,
        *,
        task: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> Asking:
        """A request to a model, with this body's size and the caller's time limit."""
        return Asking(data, Load(max(1, rows), len(self.sent)), params, outputs, self.seconds(), task, settings)

    async def answer(self, model: Model, asking: Asking) -> Any:
        """The answer to all rows, as plain values and arrays; raises RequestError, LeftError. A caller that leaves
        ends the request.
        """
        value, used = await self._while_there(self._answer(model, asking))
        self._took(model, used)
        return value

    def _took(self, model: Model, used: dict[str, Any]) -> None:
        self.used = used
        self.app.meters.used(model.name, used)

    async def _answer(self, model: Model, asking: Asking) -> tuple[Any, dict[str, Any]]:
        with self._naming_causes(model):
            return await model.answer(await addresses.fetched(asking, model, self.app.settings.limits))

    @contextmanager
    def _naming_causes(self, model: Model) -> Iterator[None]:
        """Write the cause of an error that its caller is not told into the log. A library's message may quote the
        request, and stands there only where bodies may.
        """
        try:
            yield
        except RequestError as error:
            if error.cause:
                kind, message = error.cause
                shown = message if self.app.settings.logs.bodies else "`logs.bodies: true` shows what it said"
                self.app.log("error", f"{model.name} failed: {kind}: {shown}", request=self.id)
            raise

    async def pieces(self, model: Model, asking: Asking, form: Form) -> AsyncIterator[Any]:
        """The pieces of the answer as they come; raises RequestError."""
        previous: Any = None
        is_first = True
        asking = await addresses.fetched(asking, model, self.app.settings.limits)
        with self._naming_causes(model):
            async for piece in model.pieces(asking, form):
                if not is_first:
                    yield previous
                previous, is_first = piece, False
        if not is_first:  # the last piece is the answer's cost
            self._took(model, previous)

    async def started(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same pieces, of which the first is there or there is none, so that a refusal has a status of its own;
        raises RequestError, LeftError.
        """
        first: Any = await self._while_there(anext(pieces, END))

        async def all_of_them() -> AsyncIterator[Any]:
            if first is not END:
                yield first
                async for piece in pieces:
                    yield piece

        return all_of_them()

    async def _while_there(self, work: Awaitable[Any]) -> Any:
        """The result of the work, which ends when the caller leaves; raises LeftError then."""
        task = asyncio.ensure_future(work)
        watch = asyncio.ensure_future(self._watch(task))
        try:
            return await task
        except asyncio.CancelledError:
            if watch.done():
                raise LeftError from None
            task.cancel()
            raise
        finally:
            watch.cancel()

    async def _watch(self, task: asyncio.Future[Any]) -> None:
        """End the task when the caller leaves."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        task.cancel()


def to_json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """The value as a response of JSON; nan and infinity are null."""
    return Response(dumped(value), status, dict(headers or {}), JSON)


def loaded(text: bytes) -> Any:
    """The value of a text of JSON, in UTF-8 with or without a mark that says so; raises ValueError."""
    text = text.removeprefix(BOM_UTF8)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        with_utf8 = text.isascii() or _is_utf8(text)
        raise ValueError(str(error) if with_utf8 else "it is not in UTF-8") from error


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def dumped(value: Any) -> bytes:
    """The value as JSON, arrays and all."""
    return orjson.dumps(value, option=OPTIONS, default=_plain)


class Streamed(StreamingResponse):
    """A response whose parts are sent as they come; they end when the caller leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["http_version"] == "1.0":  # has no way to say where an answer of unknown length ends
                whole = b"".join([part async for part in self.body_iterator if isinstance(part, bytes)])
                await Response(whole, self.status_code, self.headers)(scope, receive, send)
                return
            await super().__call__(scope, receive, send)
        except (OSError, ClientDisconnect) as error:
            raise LeftError from error
        finally:
            close = getattr(self.body_iterator, "aclose", None)
            if close is not None:
                await close()


def streamed(parts: AsyncIterator[bytes], kind: str) -> StreamingResponse:
    """A response whose parts are sent as they come."""
    return Streamed(parts, media_type=kind, headers={"cache-control": "no-store", "x-accel-buffering": "no"})


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _too_large(most: int) -> RequestError:
    return RequestError(413, f"the body is larger than the {most} bytes that this server takes.", "TooLargeError")
