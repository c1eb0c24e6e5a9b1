"""Tiny seeded checkpoints: real files of real architectures, with random weights, made in a moment.

``make("bert-sentiment", folder)`` writes one; the same name gives the same bytes in any process.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.checkpoints import (
    chatters,
    classifiers,
    coded,
    cross_encoders,
    defects,
    embedders,
    genai_models,
    generators,
    question_answerers,
    seq2seq,
    sparse_encoders,
    speech,
    token_models,
    vision,
)
from tests.checkpoints.writing import quiet

__all__ = ["MAKERS", "make", "quiet"]

MAKERS: dict[str, Callable[[Path], None]] = {
    **classifiers.MAKERS,
    **coded.MAKERS,
    **cross_encoders.MAKERS,
    **sparse_encoders.MAKERS,
    **generators.MAKERS,
    **chatters.MAKERS,
    **genai_models.MAKERS,
    **embedders.MAKERS,
    **question_answerers.MAKERS,
    **seq2seq.MAKERS,
    **token_models.MAKERS,
    **speech.MAKERS,
    **vision.MAKERS,
    **defects.MAKERS,
}


def make(name: str, folder: Path) -> Path:
    """The checkpoint of this name, written into ``folder``, which must not exist or be empty."""
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        MAKERS[name](folder)
    return folder
