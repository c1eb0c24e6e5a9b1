"""Checkpoints with one thing wrong each, named for it, made from the good one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints import classifiers

WEIGHTS = "model.safetensors"


def rewritten(change: Callable[[dict], None]) -> Callable[[Path], None]:
    """A maker of the sentiment model whose tensors went through ``change``."""

    def maker(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        classifiers.sentiment(folder)
        tensors = load_file(folder / WEIGHTS)
        change(tensors)
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return maker


def drop_head(tensors: dict) -> None:
    for name in [name for name in tensors if "classifier" in name]:
        del tensors[name]


def reshape_head(tensors: dict) -> None:
    import torch

    tensors["classifier.weight"] = torch.full((5, 32), 0.5)
    tensors["classifier.bias"] = torch.full((5,), 0.5)


def enlarge_vocabulary(folder: Path) -> None:
    """The tokenizer knows seven tokens that the embedding has no rows for."""
    classifiers.sentiment(folder)
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    for extra in range(7):
        vocabulary[f"extra{extra}"] = len(vocabulary)
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


def truncate(folder: Path) -> None:
    classifiers.sentiment(folder)
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) - 1000])


def pickle_only(folder: Path) -> None:
    import torch
    from safetensors.torch import load_file

    classifiers.sentiment(folder)
    torch.save(load_file(folder / WEIGHTS), folder / "pytorch_model.bin")
    (folder / WEIGHTS).unlink()


def drop_tokenizer(folder: Path) -> None:
    classifiers.sentiment(folder)
    for path in folder.iterdir():
        if "token" in path.name or path.name == "vocab.txt":
            path.unlink()


MAKERS = {
    "without-head": rewritten(drop_head),
    "wrong-head-shape": rewritten(reshape_head),
    "vocab-larger-than-embedding": enlarge_vocabulary,
    "truncated-weights": truncate,
    "pickle-only": pickle_only,
    "no-tokenizer": drop_tokenizer,
}
