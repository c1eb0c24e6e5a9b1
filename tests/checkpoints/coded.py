"""Checkpoints that bring their own Python code: config, model and tokenizer of no library."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.embedders import modules, write_json
from tests.checkpoints.writing import CARD, randomize

OWN = Path(__file__).parent / "own_code"
MODEL_FILES = ("configuration_tiny.py", "layers_tiny.py", "modeling_tiny.py", "numbers_tiny.py")
TOKENIZER_FILES = ("tokenization_tiny.py",)
AUTO_CLASSES = {
    "TinyModel": "AutoModel",
    "TinyForSequenceClassification": "AutoModelForSequenceClassification",
    "TinyForCausalLM": "AutoModelForCausalLM",
}


def coded(folder: Path, class_name: str, seed: int) -> None:
    """The model with a tokenizer of the library."""
    from safetensors.torch import save_file

    from tests.checkpoints.own_code import modeling_tiny
    from tests.checkpoints.own_code.configuration_tiny import TinyConfig

    tokenizer = vocabulary.wordpiece(64)
    config = TinyConfig(
        vocab_size=len(tokenizer), id2label={0: "bad", 1: "fair", 2: "good"}, max_position_embeddings=64
    )
    model = getattr(modeling_tiny, class_name)(config)
    randomize(model, seed)
    save_file(model.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    entries = {"AutoConfig": "configuration_tiny.TinyConfig", AUTO_CLASSES[class_name]: f"modeling_tiny.{class_name}"}
    stated = {key: value for key, value in config.to_dict().items() if key != "transformers_version"}
    write_json(
        folder / "config.json", {**stated, "architectures": [class_name], "auto_map": entries, "dtype": "float32"}
    )
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    for name in MODEL_FILES:
        shutil.copyfile(OWN / name, folder / name)


def coded_tokenizer(folder: Path) -> None:
    """A BERT with a tokenizer of its own."""
    from tests.checkpoints.classifiers import MAKERS as CLASSIFIERS

    CLASSIFIERS["bert-sentiment"](folder)
    for name in ("tokenizer.json", "special_tokens_map.json", "tokenizer_config.json"):
        (folder / name).unlink(missing_ok=True)
    (folder / "vocab.txt").write_text("".join(f"{word}\n" for word in vocabulary.wordpiece_vocabulary()))
    entry = {"AutoTokenizer": ["tokenization_tiny.TinyTokenizer", None]}
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "TinyTokenizer", "auto_map": entry})
    shutil.copyfile(OWN / "tokenization_tiny.py", folder / "tokenization_tiny.py")


def coded_embedder(folder: Path) -> None:
    """A sentence-transformers checkpoint whose Transformer is code of its own."""
    coded(folder, "TinyModel", 53)
    modules(folder, ["Transformer", "Pooling", "Normalize"])
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True})
    (folder / "2_Normalize").mkdir()
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})


MAKERS = {
    "coded-sentiment": lambda folder: coded(folder, "TinyForSequenceClassification", 51),
    "coded-writer": lambda folder: coded(folder, "TinyForCausalLM", 52),
    "coded-features": lambda folder: coded(folder, "TinyModel", 54),
    "coded-embedder": coded_embedder,
    "coded-tokenizer": coded_tokenizer,
}
