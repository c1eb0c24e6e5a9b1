"""Functions of logits and vectors on the host, in numpy: the same for models of torch and of any other runtime."""

from __future__ import annotations

from typing import Any


def softmax(logits: Any) -> Any:
    """Probabilities over the last axis of an array."""
    import numpy as np

    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def sigmoid(logits: Any) -> Any:
    """A probability for each number, without an overflow for any."""
    import numpy as np

    return np.exp(-np.logaddexp(logits.dtype.type(0), -logits))


def unit(vectors: Any) -> Any:
    """Vectors (…, dimensions) scaled to length 1; one of length 0 stays as it is."""
    import numpy as np

    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), vectors.dtype.type(1e-12))
