"""Tiny seeded checkpoints: real files of real architectures, with random weights, made in a moment.

``make("bert-sentiment", folder)`` writes one; the same name gives the same bytes in any process.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints import (
    chatters,
    classifiers,
    coded,
    cross_encoders,
    defects,
    embedders,
    generators,
    question_answerers,
    seq2seq,
    sparse_encoders,
    speech,
    token_models,
    vision,
)

MAKERS: dict[str, Callable[[Path], None]] = {
    **classifiers.MAKERS,
    **coded.MAKERS,
    **cross_encoders.MAKERS,
    **sparse_encoders.MAKERS,
    **generators.MAKERS,
    **chatters.MAKERS,
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


@contextlib.contextmanager
def quiet():
    """No warnings and no bars from the libraries while a checkpoint is written."""
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    logging.set_verbosity(level)
