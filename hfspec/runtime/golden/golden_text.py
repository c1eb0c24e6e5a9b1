"""A call and its answer as the text of a golden example, for a spec."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.errors import OutputError
from hfspec.runtime.golden.examples import tolerance_of
from hfspec.runtime.golden.plain_answer import plain_answer
from hfspec.runtime.predictor import Predictor

WIDTH = 110
UNSAFE = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029, 0xFEFF)}


def golden_text(predictor: Predictor, data: Any, params: Mapping[str, Any] | None) -> str:
    """YAML of a `golden:` key with this one example, its numbers rounded to a hundredth of the dtype's tolerance.

    Raises OutputError for an answer that holds nan, which equals nothing, and the errors of predict.
    """
    answer = plain_answer(predictor, data, params)
    places = 2 - math.floor(math.log10(tolerance_of(predictor.manifest.deployment.dtype)))
    output = _rounded(answer, places, predictor.task.anew)
    lines = [f"    params: {_line(params)}"] if params else []
    return "\n".join(["golden:", f"  - input: {_line(data)}", *lines, f"    output: {_wrapped(output)}"])


def _rounded(value: Any, places: int, left_out: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item, places, left_out) for key, item in value.items() if key not in left_out}
    if isinstance(value, list):
        return [_rounded(item, places, left_out) for item in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        raise OutputError("the answer holds a number that is not finite, so that nothing can equal it.")
    return round(value, places) + 0.0  # no minus before a zero


def _line(value: Any) -> str:
    """JSON on one line, which is YAML too."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False).translate(UNSAFE)


def _wrapped(output: Any) -> str:
    """The output on one line, or where it is too long a line for each item, long lists of numbers filling lines."""
    text = _line(output)
    if len(text) <= WIDTH or not isinstance(output, list):
        return text
    items = ",\n".join("      " + "\n        ".join(_filled(item)) for item in output)
    return f"[\n{items}\n    ]"


def _filled(item: Any) -> Iterator[str]:
    if not isinstance(item, list) or any(isinstance(part, str) for part in item):
        yield _line(item)
        return
    line = "["
    for place, part in enumerate(item):
        text = _line(part) + ("]" if place == len(item) - 1 else ", ")
        if len(line) + len(text) > WIDTH:
            yield line.rstrip()
            line = ""
        line += text
    yield line if item else "[]"
