"""The objects behind the predictor of a graph, for those who use them by themselves."""

from __future__ import annotations

from typing import Any

from hfspec.errors import UsageError
from hfspec.libraries.onnxruntime.loading import PlainGraph
from hfspec.runtime.loading.shared_tokenizer import library_tokenizer
from hfspec.runtime.runner import Runner


def components(runner: Runner) -> dict[str, Any]:
    """The session of onnxruntime, and the tokenizer of the package tokenizers where the model reads text; of an
    encoder-decoder model its graphs in the class of transformers, and the tokenizer of that.
    """
    model, tokenizer = runner.loaded.model, runner.loaded.tokenizer
    if not isinstance(model, PlainGraph):
        return {"model": model, "tokenizer": library_tokenizer(tokenizer)}
    model = model.session
    if tokenizer is None:
        return {"model": model}
    return {"model": model, "tokenizer": library_tokenizer(tokenizer).backend_tokenizer}


def pipeline(runner: Runner) -> Any:  # noqa: ARG001 - as it is called
    """Raises UsageError: onnxruntime has none."""
    raise UsageError("a graph has no pipeline; use predict(), or components()['model'], which is its session.")
