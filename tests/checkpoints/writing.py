"""How a tiny checkpoint gets its weights and its papers."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from pathlib import Path

CARD = """---
license: apache-2.0
language: en
---

# A tiny model

Random weights of a real architecture, for tests.
"""
LICENSE = "A tiny model for tests, under the Apache License, Version 2.0.\n"


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


def spread(name: str) -> float:
    """The standard deviation of a tensor's elements: words count for more than positions and biases."""
    if name.endswith("bias"):
        return 0.05
    return 1.0 if any(part in name for part in ("word_embeddings", "wte", "embed_tokens")) else 0.3


def randomize(model, seed: int) -> None:
    """Seeded weights, spread widely enough that different inputs get clearly different answers."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            is_scale = name.endswith("weight") and ("norm" in name.lower() or ".ln_" in name)
            parameter.copy_(1 + 0.1 * noise if is_scale else spread(name) * noise)
    model.eval()


def write(
    folder: Path,
    model,
    tokenizer,
    seed: int,
    *,
    licence: bool = False,
    change: Callable[[object], None] = lambda model: None,
    **save: object,
) -> None:
    """Model, tokenizer, card and, when asked, licence into the folder; ``change`` has the last word on the weights."""
    randomize(model, seed)
    change(model)
    model.save_pretrained(folder, **save)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    if licence:
        (folder / "LICENSE").write_text(LICENSE, encoding="utf-8")
