"""The server from its start to its end: the models are loaded, the address is opened, signals are answered."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import resource
import signal
import socket
import ssl
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from hfspec.errors import HfspecError, SourceError, UsageError
from hfspec.runtime.host.process import settle
from hfspec.serving.fleet.values import Fleet, ServerSettings, Tls
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
# The keys of the server that a running one takes from its fleet file; the others need a new start.
TAKEN = frozenset({"tls", "api_keys", "allow_anonymous", "cors", "metrics", "page", "docs"})


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
    with _listening(fleet.server) as listener:
        return uvloop.run(_Serving(fleet, again, listener, engine).run())


class _Serving:
    def __init__(
        self, fleet: Fleet, again: Callable[[], Fleet] | None, listener: socket.socket, engine: Engine | None
    ) -> None:
        self._fleet, self._again, self._listener, self._engine = fleet, again, listener, engine
        self._log = Log(fleet.server.logs)
        self._traces = Traces(fleet.server.telemetry) if fleet.server.telemetry else None
        self._rpc: RpcServer | None = None
        self._reloads: set[asyncio.Task[None]] = set()
        self._loaded = asyncio.Event()
        self._reloading = asyncio.Lock()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        if self._fleet.server.grpc_port is not None:
            self._rpc = _rpc_server(self._fleet.server)
        settings = self._fleet.server
        _warn_of_open_secrets(settings, self._log)
        models = Models(self._fleet, self._log, self._again, self._engine)
        app = App(models, settings, ENDPOINTS, self._log, Meters(models), traces=self._traces)
        config = _config(app, settings)
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if self._again is not None:  # also while the models load, when it would end the process
            loop.add_signal_handler(signal.SIGHUP, lambda: self._start(self._reload(models, app, config)))
        self._log("info", f"loading {', '.join(model.name for model in models)}")
        loading = asyncio.create_task(models.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({loading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        try:
            if not loading.done():
                loading.cancel()
                return 0
            await loading
            await self._serve(app, config, stopping)
        except (FailedError, HfspecError) as error:
            raise SourceError(f"the server cannot start: {error}") from error
        finally:
            await models.stop(self._fleet.server.grace)
            if self._traces is not None:
                await asyncio.to_thread(self._traces.close)
        return 0

    async def _serve(self, app: App, config: uvicorn.Config, stopping: asyncio.Task[Any]) -> None:
        settings, server = self._fleet.server, _Uvicorn(config)
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        places = [_address(self._listener, settings)]
        if self._rpc is not None:
            await self._rpc.start(app)
            places.append(f"grpc://{self._rpc.address}")
        settle()
        self._log("info", f"ready at {' and '.join(places)}")
        self._loaded.set()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        app.is_leaving = True
        self._log("info", "stopping: requests in flight are answered")
        server.should_exit = True
        for task in self._reloads:
            task.cancel()
        if self._rpc is not None:
            await asyncio.gather(serving, self._rpc.stop(settings.grace))
        await serving

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _reload(self, models: Models, app: App, config: uvicorn.Config) -> None:
        assert self._again is not None
        await self._loaded.wait()
        async with self._reloading:
            try:
                fleet = await asyncio.to_thread(self._again)
                self._take(fleet.server, app, config)
            except (HfspecError, OSError) as error:
                models.fault = f"the fleet is not reloaded: {error}"
                self._log("error", models.fault)
                return
            failed = await models.reload(fleet, fleet.server.grace)
            for reason in failed:
                self._log("error", f"not reloaded, the old one goes on: {reason}")
            self._log("info", "reloaded" if not failed else "reloaded in part")

    def _take(self, settings: ServerSettings, app: App, config: uvicorn.Config) -> None:
        """Go by other settings from now on; raises UsageError for one that a running server cannot take."""
        old = app.settings
        changed = [name for name in type(old).model_fields if getattr(old, name) != getattr(settings, name)]
        fixed = [name for name in changed if name not in TAKEN]
        if (old.tls is None) != (settings.tls is None):
            fixed.append("tls")
        if fixed:
            names = ", ".join(f"server.{name}" for name in fixed)
            raise UsageError(f"a running server cannot change {names}; start it anew, or take the change back.")
        if settings.tls is not None:
            assert config.ssl is not None
            _load_certificate(config.ssl, settings.tls)
            if self._rpc is not None:
                self._rpc.show(settings.tls)
        _warn_of_open_secrets(settings, self._log)
        app.settings = settings


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
    """Uvicorn's configuration; raises UsageError where the certificate cannot be used."""
    tls = settings.tls
    config = uvicorn.Config(
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
        ssl_context_factory=(lambda *_: _context(tls)) if tls else None,
    )
    config.load()
    return config


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_certificate(context, tls)
    return context


def _load_certificate(context: ssl.SSLContext, tls: Tls) -> None:
    """Have new connections shown the certificate as its files are now; raises UsageError."""
    try:
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise UsageError(f"the certificate {tls.certificate} and its key cannot be used: {error}.") from error


def _warn_of_open_secrets(settings: ServerSettings, log: Log) -> None:
    """Warn of files with secrets that every user of the machine can read."""
    files = {
        "server.api_keys.file": settings.api_keys.file if settings.api_keys else None,
        "server.tls.key": settings.tls.key if settings.tls else None,
    }
    for key, path in files.items():
        with contextlib.suppress(OSError):
            if path is not None and Path(path).stat().st_mode & stat.S_IROTH:
                log("warning", f"every user of this machine can read {key}, {path}: `chmod o-r {path}`")


@contextlib.contextmanager
def _listening(settings: ServerSettings) -> Iterator[socket.socket]:
    """The open address, and its end; raises UsageError."""
    with contextlib.closing(_listener(settings)) as listener:
        path = None if settings.unix_socket is None else Path(settings.unix_socket)
        own = None if path is None else path.stat().st_ino
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if path is not None and path.stat().st_ino == own:
                    path.unlink()


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
        if _answers(path):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        path.unlink()  # left by a server that has ended
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    listener.listen(BACKLOG)
    return listener


def _answers(path: Path) -> bool:
    """Whether a server listens at this socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(path)) == 0


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
