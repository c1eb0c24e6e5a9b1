"""Run an emitted predictor on a few sentences and print how alike they are.

Usage: python examples/similarities.py DIR      (DIR: an artifact of specs/minilm.yaml)

Only the artifact's own predictor.py runs the model, in a process of its own; hfspec is not imported.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

SENTENCES = [
    "A man is playing a guitar on stage.",
    "Someone performs music for an audience.",
    "The central bank raised interest rates.",
    "Borrowing money has become more expensive.",
]


def main(artifact: Path) -> None:
    """Embed SENTENCES and print the cosine similarity of each pair."""
    command = [sys.executable, str(artifact / "predictor.py"), *SENTENCES]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    embeddings = np.array(json.loads(answer))
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    similarities = unit @ unit.T
    width = max(len(sentence) for sentence in SENTENCES)
    for sentence, row in zip(SENTENCES, similarities, strict=True):
        print(f"{sentence:<{width}}  " + "  ".join(f"{value:5.2f}" for value in row))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/minilm"))
