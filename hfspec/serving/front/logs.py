"""The server's log on stderr: lines for a person, or JSON for a program."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TextIO

from hfspec.redaction import redacted
from hfspec.serving.fleet.values import Logs

LEVELS = ("debug", "info", "warning", "error")


class Log:
    """Called with a level, a message and facts. No secret is written, and no body unless the fleet asks."""

    def __init__(self, settings: Logs, stream: TextIO | None = None, clock: Callable[[], float] = time.time) -> None:
        self.settings = settings
        self._stream = stream or sys.stderr
        self._clock = clock
        self._least = LEVELS.index(settings.level)

    def __call__(self, level: str, message: str, **facts: Any) -> None:
        if LEVELS.index(level) < self._least:
            return
        at = datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        values = {name: redacted(value) if isinstance(value, str) else value for name, value in facts.items()}
        message = redacted(message)
        if self.settings.format == "json":
            record = {"time": at, "level": level, "message": message, **values}
            line = json.dumps(record, ensure_ascii=False, default=str)
        else:
            more = "".join(f" {name}={_word(value)}" for name, value in values.items())
            line = f"{at} {level} {_one_line(message)}{more}"
        self._stream.write(line + "\n")
        self._stream.flush()


def _one_line(text: str) -> str:
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _word(value: Any) -> str:
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(' "\n\r\t=') or not text else text
