"""A predictor's answer as the plain values of a file of examples."""

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
    """The answer as plain values, the pieces of a streamed one in a list; raises the errors of predict. ``protocol``:
    that of the predictor's begin.
    """
    answer = predictor.predict_plain(data, params, protocol=protocol)
    return [plain(piece) for piece in answer] if isinstance(answer, Iterator) else answer
