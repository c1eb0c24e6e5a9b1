"""The objects of sentence-transformers behind a predictor, for users of the library."""

from __future__ import annotations

from typing import Any

from hfspec.errors import UsageError
from hfspec.runtime.loading.native import SENTENCE_CLASSES
from hfspec.runtime.runner import Runner


def components(runner: Runner) -> dict[str, Any]:
    """The model alone, which is the whole pipeline."""
    return {"model": runner.sentence_model}


def pipeline(runner: Runner) -> Any:
    """Raises UsageError: sentence-transformers has no pipelines."""
    kind = SENTENCE_CLASSES[runner.request.task.kind]
    raise UsageError(f"sentence-transformers has no pipelines; components()['model'] is the {kind} itself.")
