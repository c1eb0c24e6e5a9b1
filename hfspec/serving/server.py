"""The server from its start to its end: the models are loaded, the address is opened, signals are answered."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from hfspec.errors import HfspecError, SourceError, UsageError
from hfspec.runtime.host.process import settle
from hfspec.serving.fleet.values import Fleet, ServerSettings
from hfspec.serving.front.app import App
from hfspec.serving.front.connection import Connection
from hfspec.serving.front.generation import Engine, FailedError
from hfspec.serving.front.logs import Log
from hfspec.serving.front.metrics import Meters
from hfspec.serving.front.models import Models
from hfspec.serving.front.traces import Traces
from hfspec.serving.protocols.table import ENDPOINTS

if TYPE_CHECKING:
    from hfspec.serving.front.rpc import RpcServer

BACKLOG = 2048


class _Uvicorn(uvicorn.Server):
    """Uvicorn without its own signals, which would end the process by the signal instead of with exit code 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(fleet: Fleet, again: Callable[[], Fleet] | None = None, engine: Engine | None = None) -> int:
    """Serve the fleet until told to stop.

    Args:
        fleet: The fleet.
        again: Reads the fleet anew, when SIGHUP asks for it.
        engine: The starter of replicas; by default they are processes of this machine.

    Returns:
        The exit code: 0 after SIGTERM or SIGINT.

    Raises:
        UsageError: The address cannot be opened.
        SourceError: A model cannot be loaded.
    """
    import uvloop

    _raise_file_limit()
    listener = _listener(fleet.server)
    with contextlib.closing(listener):
        return uvloop.run(_Serving(fleet, again, listener, engine).run())


class _Serving:
    def __init__(
        self, fleet: Fleet, again: Callable[[], Fleet] | None, listener: socket.socket, engine: Engine | None
    ) -> None:
        self._fleet, self._again, self._listener, self._engine = fleet, again, listener, engine
        self._log = Log(fleet.server.logs)
        self._traces = Traces(fleet.server.telemetry) if fleet.server.telemetry else None
        self._rpc: RpcServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        if self._fleet.server.grpc_port is not None:
            self._rpc = _rpc_server(self._fleet.server)
        models = Models(self._fleet, self._log, self._again, self._engine)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        self._log("info", f"loading {', '.join(model.name for model in models)}")
        loading = asyncio.create_task(models.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if not loading.done():
                loading.cancel()
                return 0
            await loading
            await self._serve(models, stopping)
        except (FailedError, HfspecError) as error:
            raise SourceError(f"the server cannot start: {error}") from error
        finally:
            await models.stop(self._fleet.server.grace)
            if self._traces is not None:
                await asyncio.to_thread(self._traces.close)
        return 0

    async def _serve(self, models: Models, stopping: asyncio.Task[Any]) -> None:
        settings = self._fleet.server
        app = App(models, settings, ENDPOINTS, self._log, Meters(models), traces=self._traces)
        server = _Uvicorn(_config(app, settings))
        loop = asyncio.get_running_loop()
        if self._again is not None:
            loop.add_signal_handler(signal.SIGHUP, lambda: self._start(self._reload(models)))
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        places = [_address(self._listener, settings)]
        if self._rpc is not None:
            await self._rpc.start(app)
            places.append(f"grpc://{self._rpc.address}")
        settle()
        self._log("info", f"ready at {' and '.join(places)}")
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        app.is_leaving = True
        self._log("info", "stopping: requests in flight are answered")
        server.should_exit = True
        if self._rpc is not None:
            await asyncio.gather(serving, self._rpc.stop(settings.grace))
        await serving

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _reload(self, models: Models) -> None:
        assert self._again is not None
        try:
            fleet = await asyncio.to_thread(self._again)
        except HfspecError as error:
            self._log("error", f"the fleet is not reloaded: {error}")
            return
        failed = await models.reload(fleet, fleet.server.grace)
        for reason in failed:
            self._log("error", f"not reloaded, the old one goes on: {reason}")
        self._log("info", "reloaded" if not failed else "reloaded in part")


def _rpc_server(settings: ServerSettings) -> RpcServer:
    """The open address for gRPC; raises UsageError."""
    try:
        from hfspec.serving.front.rpc import RpcServer
        from hfspec.serving.protocols.v2.grpc import METHODS
    except ImportError as error:
        raise UsageError(
            f"server.grpc_port needs more packages ({error.name}): pip install 'hfspec[serve-grpc]'"
        ) from error
    return RpcServer(settings, METHODS)


def _config(app: App, settings: ServerSettings) -> uvicorn.Config:
    tls = settings.tls
    return uvicorn.Config(
        app,
        http=Connection.with_limits(settings.limits),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        log_config=None,
        server_header=False,
        date_header=False,
        timeout_keep_alive=int(settings.limits.slow_client_seconds),
        timeout_graceful_shutdown=int(settings.grace),
        backlog=BACKLOG,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )


def _listener(settings: ServerSettings) -> socket.socket:
    """The open address; raises UsageError."""
    try:
        if settings.unix_socket is not None:
            return _unix_listener(Path(settings.unix_socket))
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        return socket.create_server((settings.host, settings.port), family=family, backlog=BACKLOG)
    except OSError as error:
        place = settings.unix_socket or f"{settings.host}:{settings.port}"
        raise UsageError(f"the server cannot listen at {place}: {error.strerror or error}; choose another.") from error


def _unix_listener(path: Path) -> socket.socket:
    if path.is_socket():
        path.unlink()  # left by a server that has ended
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


def _address(listener: socket.socket, settings: ServerSettings) -> str:
    if settings.unix_socket is not None:
        return f"unix:{settings.unix_socket}"
    host, port = listener.getsockname()[:2]
    name = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls else 'http'}://{name}:{port}"


def _raise_file_limit() -> None:
    """Allow as many connections as the system does."""
    if sys.platform != "win32":
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
