"""Weights in the place of those that a source with a graph alone has not: by them torch's runner says what it knows of
the architecture, the tokenizer and their limits. No number of theirs reaches an artifact.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from hfspec.formats.sentence_modules import read
from hfspec.ir.artifact import Manifest
from hfspec.library_calls.making import making
from hfspec.library_calls.quiet import quiet

WEIGHTS = "model.safetensors"


@contextmanager
def stand_in_weights(manifest: Manifest, model: Path) -> Iterator[None]:
    """Put random weights of the manifest's architecture into a folder.

    Args:
        manifest: Names the class of transformers.
        model: The folder of the model's files, whose weights are gone after the block.
    """
    import torch
    import transformers

    checkpoint = read(model, causal=False)
    folder = model if checkpoint is None else checkpoint.transformer
    model_class = getattr(transformers, manifest.deployment.model_class)
    with quiet(), torch.random.fork_rng(devices=[]), TemporaryDirectory(prefix=".weights-", dir=model) as place:
        torch.manual_seed(0)
        with making(unfilled=False):
            config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
            model_class(config).save_pretrained(place, max_shard_size="1TB")
        shutil.move(Path(place, WEIGHTS), folder / WEIGHTS)
    try:
        yield
    finally:
        (folder / WEIGHTS).unlink()
