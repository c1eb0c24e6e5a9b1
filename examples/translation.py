"""Translate, with the tokenizer as a component of its own, and use the artifact's parts without hfspec.

Usage: python examples/translation.py [SPEC]

SPEC is by default specs/translation-components.yaml, whose small T5 comes from the hub; any spec of the task
translation_en_to_fr will do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hfspec

TEXTS = ["MLflow is great!", "Transformers makes using Deep Learning models easy and fun!"]


def main(spec: Path) -> None:
    """Compile, translate, and take the artifact apart."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = hfspec.compile(spec, output=Path(folder) / "translation")
        predictor = hfspec.load(artifact.path)
        for text, translated in zip(TEXTS, predictor.predict(TEXTS), strict=True):
            print(f"{text} -> {translated}")

        (full,) = predictor.predict(TEXTS[0], outputs="full")
        print(f"the model read: {full['prompt']!r}")
        print(f"from {full['src_lang']} into {full['tgt_lang']}, {full['completion_tokens']} tokens")

        deployment = artifact.manifest.deployment
        print(f"model: {deployment.model_class}")
        for name, kind in deployment.components.items():
            print(f"{name}: {kind}, options {dict(deployment.options.get(name, {}))}")
        parts_alone(artifact.path, full["prompt"])

        try:
            predictor.predict("too long " * 500)
        except hfspec.InputError as error:
            print(f"refused: {error}")


def parts_alone(artifact: Path, prompt: str) -> None:
    """The folders are checkpoints as the library itself writes them."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    own = artifact / "components" / "tokenizer"
    tokenizer = AutoTokenizer.from_pretrained(own if own.is_dir() else artifact / "model")
    model = AutoModelForSeq2SeqLM.from_pretrained(artifact / "model")
    made = model.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=40, num_beams=4)
    print(f"without hfspec: {tokenizer.decode(made[0], skip_special_tokens=True)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "specs/translation-components.yaml"))
