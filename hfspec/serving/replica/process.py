"""A replica as a process: it loads an artifact, answers frames, and ends when its socket does.

One thread reads frames, one computes and sends the results, and one sends a beat again and again: the process lives.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import sys
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, NoReturn

from hfspec.errors import HfspecError, InputError, PredictionError, RowError
from hfspec.formats.label_names import label_names
from hfspec.redaction import redacted
from hfspec.runtime.host.process import begin, leave, settle
from hfspec.serving.replica import wire
from hfspec.serving.replica.engine import Engine
from hfspec.serving.replica.job import Ask, Form

BEAT_SECONDS = 0.5
UNBOUNDED = 1 << 30  # tokens; tokenizers state more where nothing bounds them
ARGUMENTS = (
    *("model_config", "dtype", "device", "threads", "backend", "expect_fingerprint", "sources", "trust_remote_code"),
    "keep_memory",
)


class Replica:
    """The frames of one socket, and the engine that answers them."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._writing = Lock()
        self._inbox: SimpleQueue[list[Any]] = SimpleQueue()
        self._left: set[int] = set()
        self._stopping = Event()
        self._engine: Engine | None = None

    def run(self) -> int:
        """Load, answer until told to stop, and return the exit code."""
        Thread(target=self._read, daemon=True).start()
        _, config = self._inbox.get()
        try:
            engine = self._engine = self._loaded(config)
        except (HfspecError, OSError) as error:
            self.send(wire.FAILED, type(error).__name__, redacted(str(error)))
            return 1
        settle()
        Thread(target=self._beat, daemon=True).start()
        self.send(wire.READY, _facts(engine))
        while True:
            self._receive(engine)
            if engine.is_idle and self._stopping.is_set():
                self.send(wire.BEAT, _beat_facts(engine))  # the counters since the last beat
                return 0
            self._step(engine)

    def send(self, kind: str, *values: Any) -> None:
        """Send a frame; a reader that has gone ends the process."""
        try:
            with self._writing:
                self._socket.sendall(wire.frame(kind, *values))
        except (BrokenPipeError, ConnectionResetError):
            os._exit(0)

    def answer(self, key: int, value: Any, used: dict[str, Any]) -> None:
        self._left.discard(key)
        self._tell(wire.ANSWER, key, value, used)

    def piece(self, key: int, value: Any) -> None:
        if value:
            self._tell(wire.PIECE, key, value)

    def error(self, key: int, error: BaseException) -> None:
        self._left.discard(key)
        row = error.row if isinstance(error, RowError) else None
        text = error.reason if isinstance(error, RowError) else str(error)
        at = error.key if isinstance(error, PredictionError) else None
        self.send(wire.ERROR, key, type(error).__name__, redacted(text), row, at)

    def _tell(self, kind: str, key: int, *values: Any) -> None:
        """Send a result; a value that cannot be sent is an error of this request alone."""
        try:
            self.send(kind, key, *values)
        except InputError as error:
            self.error(key, error)

    def has_left(self, key: int) -> bool:
        return key in self._left

    def _loaded(self, config: dict[str, Any]) -> Engine:
        from hfspec.runtime.golden.examples import refuse_faults
        from hfspec.runtime.load import load

        folder = Path(config["artifact"])
        predictor = load(folder, **{name: config[name] for name in ARGUMENTS if config.get(name) is not None})
        if config.get("examples", True):
            refuse_faults(predictor, folder)
        return Engine(predictor, self, bounds=config.get("bounds", {}), prefix_cache=config.get("prefix_cache", 0))

    def _read(self) -> None:
        frames = wire.Frames()
        while data := self._socket.recv(1 << 20):
            for message in frames.feed(data):
                if message[0] == wire.CANCEL:
                    self._left.add(message[1])
                self._inbox.put(message)
        os._exit(0)  # the HTTP process has gone

    def _receive(self, engine: Engine) -> None:
        """Take the frames that have come; wait for one where there is nothing to do."""
        wait = engine.is_idle and not self._stopping.is_set()
        while True:
            try:
                kind, *values = self._inbox.get(block=wait)
            except Empty:
                return
            wait = False
            if kind == wire.ASK:
                self._ask(engine, *values)
            elif kind == wire.CANCEL:
                engine.cancel(values[0])
                self._left.discard(values[0])
            elif kind == wire.STOP:
                self._stopping.set()

    def _ask(self, engine: Engine, key: int, ask: dict[str, Any]) -> None:
        seconds = ask.get("seconds")
        deadline = None if seconds is None else time.monotonic() + seconds
        form = Form(ask.get("form", Form.WHOLE))
        try:
            arguments = {name: ask.get(name) for name in ("params", "outputs", "task", "settings")}
            engine.submit(Ask(key, ask.get("data"), form=form, deadline=deadline, **arguments))
        except Exception as error:  # noqa: BLE001 - a fault of ours costs one request, not the process
            self.error(key, error)

    def _step(self, engine: Engine) -> None:
        try:
            engine.step()
        except Exception as error:  # noqa: BLE001 - as above; a fault of the libraries costs the requests at hand
            _log(f"a step failed: {type(error).__name__}: {redacted(' '.join(str(error).split()))}")
            engine.fail(error)

    def _beat(self) -> None:
        while True:
            self.send(wire.BEAT, _beat_facts(self._engine))
            time.sleep(BEAT_SECONDS)


def _facts(engine: Engine) -> dict[str, Any]:
    """The facts of the model for the HTTP process, beside the manifest."""
    predictor = engine.predictor
    settings = {name: [_plain(setting.value), setting.origin] for name, setting in predictor.settings().items()}
    return {
        "pid": os.getpid(),
        "device": str(predictor.device),
        "dtype": predictor.dtype,
        "fingerprint": predictor.fingerprint,
        "joins": engine.joins,
        "settings": settings,
        "reads": _reads(predictor.runner),
        "labels": _labels(predictor.runner),
    }


def _reads(runner: Any) -> int | None:
    """How many tokens of a text the model reads, where that is bounded."""
    limits = [getattr(runner, "limit", None), getattr(runner.loaded.tokenizer, "model_max_length", None)]
    bounds = [int(limit) for limit in limits if isinstance(limit, int | float) and 0 < limit < UNBOUNDED]
    return min(bounds, default=None)


def _labels(runner: Any) -> list[str]:
    """The names of the labels in the model's order; none for a model that does not classify."""
    config = getattr(runner.loaded.model, "config", None)
    if not any(str(name).endswith("Classification") for name in getattr(config, "architectures", None) or ()):
        return []
    return [name for _, name in sorted(label_names(config).items())]


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=str))


def _beat_facts(engine: Engine | None) -> dict[str, Any]:
    assert engine is not None
    counters = engine.counters
    step = counters.step
    return {
        "batches": counters.batches,
        "rows": counters.rows,
        "tokens": counters.tokens,
        "filled": counters.filled,
        "made": counters.made,
        "reused": counters.reused,
        "kept": counters.kept,
        "step": 0.0 if step is None else time.monotonic() - step,
        "joins": engine.joins,
        "memory": _resident(),
        "cpu": sum(os.times()[:2]),
    }


def _resident() -> int:
    """Bytes of memory that this process holds."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux: the most that it has held
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _log(message: str) -> None:
    sys.stderr.write(f"hfspec replica {os.getpid()}: {message}\n")


def main(descriptor: int) -> NoReturn:
    """Be a replica over the socket of this file descriptor."""
    begin()
    with socket.socket(fileno=descriptor) as connection:
        code = Replica(connection).run()
    leave(code)
