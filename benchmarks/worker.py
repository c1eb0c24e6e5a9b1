"""One contender in a process of its own: it loads once, then answers a round for every line it reads.

    python -m benchmarks.worker MODULE:FUNCTION '{"work": ...}'

Its last lines of stdout are JSON: first that it is ready, then one a round. The answers of the first round go to the
file that the line names, in plain values, for comparison.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

CHANNEL = os.fdopen(os.dup(1), "w", encoding="utf-8")  # the libraries print too


def main(target: str, settings: dict[str, Any]) -> None:
    os.dup2(2, 1)
    module, name = target.split(":")
    started = time.perf_counter()
    answer = getattr(import_module(module), name)(**settings)
    _say({"seconds": time.perf_counter() - started})
    for line in sys.stdin:
        started = time.perf_counter()
        result = answer()
        seconds = time.perf_counter() - started
        if path := line.strip():
            Path(path).write_text(json.dumps(plain(result)), encoding="utf-8")
        _say({"seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024})


def _say(message: dict[str, Any]) -> None:
    CHANNEL.write(json.dumps(message) + "\n")
    CHANNEL.flush()


def plain(answers: Any) -> Any:
    """One row an answer, whoever gave it: dicts as their values, tables as their lines."""
    if hasattr(answers, "to_dict") and hasattr(answers, "columns"):
        return [plain(list(line)) for line in answers.itertuples(index=False)]
    if isinstance(answers, dict):
        return [plain(value) for value in answers.values()]
    if isinstance(answers, list | tuple | Iterator):
        return [plain(answer) for answer in answers]
    return answers.tolist() if hasattr(answers, "tolist") else answers


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
