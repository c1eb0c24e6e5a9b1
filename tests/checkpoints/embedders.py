"""sentence-transformers folders, written in the layout that published models have."""

from __future__ import annotations

import json
from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import BERT_SIZES
from tests.checkpoints.writing import write


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def transformer(folder: Path, seed: int, max_seq_length: int) -> None:
    from transformers import BertConfig, BertModel

    tokenizer = vocabulary.wordpiece(128)
    write(folder, BertModel(BertConfig(vocab_size=len(tokenizer), **BERT_SIZES)), tokenizer, seed, licence=True)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})


def modules(folder: Path, kinds: list[str]) -> None:
    entries = [
        {
            "idx": index,
            "name": str(index),
            "path": "" if kind == "Transformer" else f"{index}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for index, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", entries)


def pooling(folder: Path, mode: str) -> None:
    modes = {f"pooling_mode_{name}": name == mode for name in ("cls_token", "mean_tokens", "max_tokens")}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 32, **modes})


def dense(folder: Path, seed: int) -> None:
    import torch
    from safetensors.torch import save_file

    activation = "torch.nn.modules.activation.Tanh"
    config = {"in_features": 32, "out_features": 24, "bias": True, "activation_function": activation}
    write_json(folder / "config.json", config)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        "linear.bias": torch.randn(24, generator=generator) * 0.1,
        "linear.weight": torch.randn(24, 32, generator=generator) * 0.3,
    }
    save_file(weights, folder / "model.safetensors")


def minilm(folder: Path) -> None:
    """As all-MiniLM-L6-v2: the folder of Normalize is named but has no files."""
    transformer(folder, seed=21, max_seq_length=128)
    modules(folder, ["Transformer", "Pooling", "Normalize"])
    pooling(folder, "mean_tokens")
    write_json(folder / "config_sentence_transformers.json", {"__version__": {"sentence_transformers": "2.0.0"}})


def with_dense(folder: Path) -> None:
    transformer(folder, seed=22, max_seq_length=32)
    modules(folder, ["Transformer", "Pooling", "Dense", "Normalize"])
    pooling(folder, "cls_token")
    dense(folder / "2_Dense", seed=23)
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "__version__": {"sentence_transformers": "3.0.0"},
            "prompts": {"query": "query: ", "passage": ""},
            "default_prompt_name": None,
            "similarity_fn_name": "cosine",
        },
    )


MAKERS = {"minilm-like": minilm, "st-dense": with_dense}
