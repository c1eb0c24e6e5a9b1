"""Semantic search: which of a few dozen sentences answer a question, by meaning rather than by words.

Usage: python examples/semantic_search.py [QUESTION ...]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

import hfspec

CORPUS = [
    "The bakery on the corner opens at six in the morning.",
    "Fresh bread is best eaten on the day it is baked.",
    "Sourdough needs a starter that is fed every day.",
    "The museum is closed on Mondays.",
    "Children under twelve enter the museum free of charge.",
    "Guided tours of the old town start at the fountain.",
    "The last train to the coast leaves at ten past eleven.",
    "Bicycles may be taken on the train outside rush hour.",
    "The ferry to the island takes forty minutes.",
    "Storms often delay the ferry in November.",
    "A vaccine trains the immune system to recognise a virus.",
    "Antibiotics do not work against viruses.",
    "Drinking enough water helps against headaches.",
    "Adults should sleep between seven and nine hours a night.",
    "Regular exercise lowers blood pressure.",
    "The central bank raised interest rates by a quarter of a point.",
    "Inflation fell for the third month in a row.",
    "Rents in the city have doubled within ten years.",
    "A pension fund invests contributions over several decades.",
    "The start-up sold its shares to a competitor.",
    "Photosynthesis turns light into chemical energy.",
    "Bees find their way by the position of the sun.",
    "Octopuses have three hearts and blue blood.",
    "Migrating birds can sense the Earth's magnetic field.",
    "Volcanic soil is especially fertile.",
    "The comet will be visible to the naked eye in spring.",
    "A year on Neptune lasts 165 Earth years.",
    "The telescope's mirror has to be kept at minus 230 degrees.",
    "The team won the final on penalties.",
    "She broke the national record for the marathon.",
    "The referee stopped the match because of fog.",
    "The orchestra rehearses in the old factory hall.",
    "His second novel was translated into twenty languages.",
    "The film was shot on the island in a single summer.",
]
QUESTIONS = ["When can I see the exhibition?", "How do animals navigate?", "Is borrowing money getting dearer?"]


def main(questions: list[str]) -> None:
    """Embed the corpus and the questions, and print the three nearest sentences of each question."""
    spec = Path(__file__).parent.parent / "specs" / "minilm.yaml"
    with tempfile.TemporaryDirectory() as folder:
        predictor = hfspec.load(hfspec.compile(spec, output=Path(folder) / "minilm").path)
        corpus = predictor.predict(CORPUS)
        # MiniLM's embeddings have length 1, so that the dot product is the cosine similarity.
        scores = predictor.predict(questions) @ corpus.T
    for question, row in zip(questions, scores, strict=True):
        print(question)
        for place in np.argsort(-row)[:3]:
            print(f"  {row[place]:.2f}  {CORPUS[place]}")


if __name__ == "__main__":
    main(sys.argv[1:] or QUESTIONS)
