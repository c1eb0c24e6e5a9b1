"""Paraphrase mining: which sentences of a collection say the same, among all pairs of them.

Usage: python examples/paraphrase_mining.py [LEAST_SCORE]      (default: 0.6)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import hfspec

SENTENCES = [
    "How do I reset my password?",
    "The train to the airport leaves every ten minutes.",
    "I forgot my password and need a new one.",
    "A man is playing the guitar.",
    "Is breakfast included in the price?",
    "The cat sleeps on the windowsill.",
    "Someone plays a guitar.",
    "Every ten minutes there is a train to the airport.",
    "The film was far too long.",
    "My parcel has not arrived yet.",
    "Does the price include breakfast?",
    "A woman is slicing tomatoes.",
    "I want to cancel my subscription.",
    "The movie went on for too long.",
    "Where can I park my car?",
    "The new phone has a better camera.",
    "I have not received my package.",
    "The shop is closed on Sundays.",
    "A lady cuts up some tomatoes.",
    "How can I end my subscription?",
    "The museum was built in 1890.",
    "It will rain tomorrow afternoon.",
    "Is there a place to leave my car?",
    "The store does not open on Sundays.",
    "Two children are playing football in the park.",
    "Tomorrow afternoon rain is expected.",
    "The bank raised its interest rates.",
    "Kids play soccer in a park.",
    "Whales are mammals.",
    "The recipe needs three eggs.",
]


def main(least: float) -> None:
    """Print every pair of SENTENCES that is at least so alike, the most alike first."""
    spec = Path(__file__).parent.parent / "specs" / "minilm.yaml"
    with tempfile.TemporaryDirectory() as folder:
        embeddings = hfspec.load(hfspec.compile(spec, output=Path(folder) / "minilm").path).predict(SENTENCES)
    scores = embeddings @ embeddings.T
    ones, others = np.triu_indices(len(SENTENCES), k=1)
    pairs = sorted(zip(scores[ones, others], ones, others, strict=True), reverse=True)
    for score, one, other in pairs:
        if score >= least:
            print(f"{score:.2f}  {SENTENCES[one]}  |  {SENTENCES[other]}")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 0.6)
