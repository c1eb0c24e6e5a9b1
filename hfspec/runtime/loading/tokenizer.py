"""A tokenizer of transformers, for calls at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hfspec.errors import StorageError
from hfspec.library_calls.quiet import is_tokenizer
from hfspec.runtime.loading.components import load_component
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.loading.shared_tokenizer import SharedTokenizer


def load_tokenizer(request: LoadRequest, folder: Path | None = None, **settings: Any) -> Any:
    """The tokenizer, the spec's own component before the model's, for calls at once.

    Args:
        request: the settled arguments of the load.
        folder: the folder of the model's own, the model's by default.
        settings: arguments of ``from_pretrained``, which yield to the spec's options.

    Raises:
        StorageError: transformers cannot make it from its files.
    """
    return shared(load_component(request, "tokenizer", folder, **settings))


def shared(tokenizer: Any) -> Any:
    """The tokenizer for calls at once; raises StorageError for an object that is no tokenizer."""
    if not is_tokenizer(tokenizer):
        raise StorageError(f"the tokenizer's files name {type(tokenizer).__name__}, which is not a tokenizer.")
    return SharedTokenizer(tokenizer)
