"""The model as sentence-transformers itself loads it."""

from __future__ import annotations

from typing import Any

from hfspec.errors import StorageError
from hfspec.ir.dtypes import torch_dtype
from hfspec.library_calls.quiet import quiet
from hfspec.runtime.loading import adapter
from hfspec.runtime.loading.components import brings
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.loading.shared_tokenizer import library_tokenizer
from hfspec.runtime.loading.tokenizer import load_tokenizer

SENTENCE_CLASSES = {"dense": "SentenceTransformer", "cross-encoder": "CrossEncoder", "sparse": "SparseEncoder"}


def load_sentence_model(request: LoadRequest, tokenizer: Any = None) -> Any:
    """The model as sentence-transformers loads it from the artifact, with the spec's own tokenizer.

    Args:
        request: the settled arguments of the load.
        tokenizer: the spec's own, where it is loaded already.

    Raises:
        StorageError: sentence-transformers cannot load it.
    """
    with request.unchanged():
        model = _read_sentence_model(request)
        if brings(request, "tokenizer"):
            own = load_tokenizer(request) if tokenizer is None else tokenizer
            _set_tokenizer(model[0], library_tokenizer(own))
        with quiet():
            adapter.applied(request, model[0].auto_model)
    return model.eval()


def _read_sentence_model(request: LoadRequest) -> Any:
    with quiet():
        import sentence_transformers

        try:
            return getattr(sentence_transformers, SENTENCE_CLASSES[request.task.kind])(
                str(request.model_folder),
                device=request.device,
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"dtype": torch_dtype(request.dtype), "use_safetensors": True},
            )
        except Exception as error:  # over a broken file sentence-transformers may raise anything
            raise StorageError(f"sentence_transformers could not load model/: {error}") from error


def _set_tokenizer(module: Any, tokenizer: Any) -> None:
    """Set the tokenizer of a Transformer module, which sentence-transformers 6 keeps as its processor."""
    setattr(module, "processor" if hasattr(module, "processor") else "tokenizer", tokenizer)
