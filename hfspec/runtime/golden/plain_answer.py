"""What a predictor answers, as the plain values that a file of examples holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.runtime.io.answers import plain
from hfspec.runtime.predictor import Predictor


def plain_answer(
    predictor: Predictor,
    data: Any,
    params: Mapping[str, Any] | None,
    *,
    protocol: Mapping[str, Any] | None = None,
) -> Any:
    """The answer as plain values, the pieces of a streamed one in a list; raises what predict raises. ``protocol``: as
    the predictor's begin takes it.
    """
    answer = predictor.predict_plain(data, params, protocol=protocol)
    return [plain(piece) for piece in answer] if isinstance(answer, Iterator) else answer
