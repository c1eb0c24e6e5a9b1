"""The library's own way: transformers.pipeline with its batch_size, SentenceTransformer.encode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.contenders.incumbent import pipeline
from benchmarks.work import WORK


def predict(work: str, count: int, batch_size: int | None = None) -> Callable[[], Any]:
    """All rows in one call."""
    wanted = WORK[work]
    rows = wanted.rows(count)
    if wanted.library == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(wanted.model), device="cpu")
        sized = {"batch_size": batch_size} if batch_size else {}
        return lambda: model.encode(rows, show_progress_bar=False, **sized)
    made = pipeline(wanted, padded=batch_size is not None)
    sized = {"batch_size": batch_size} if batch_size else {}
    if wanted.task == "zero-shot-classification":
        labels = rows[0]["candidate_labels"]
        return lambda: made([row["sequences"] for row in rows], candidate_labels=labels, **sized)
    return lambda: made(rows, **wanted.settings, **sized)
