"""The objects of onnxruntime-genai behind a predictor, for users of the library."""

from __future__ import annotations

from typing import Any

from hfspec.errors import UsageError
from hfspec.runtime.runner import Runner


def components(runner: Runner) -> dict[str, Any]:
    """The library's model, and its own tokenizer over the same files."""
    import onnxruntime_genai

    model = runner.loaded.model
    return {"model": model, "tokenizer": onnxruntime_genai.Tokenizer(model)}


def pipeline(runner: Runner) -> Any:
    """Raises UsageError: onnxruntime-genai has no pipelines."""
    raise UsageError(f"{runner.request.task.library} has no pipelines; components()['model'] is the model itself.")
