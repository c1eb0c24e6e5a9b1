"""Sentence embeddings: declare a model, see its signature, compile it, load it, and look at what it answers.

Usage: python examples/sentence_embeddings.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import hfspec

SPEC = Path(__file__).parent.parent / "specs" / "minilm.yaml"
SENTENCES = ["I enjoy pies of both apple and cherry.", "I prefer cookies."]


def main() -> None:
    """Print the signature, the embeddings' length and how they begin, and how alike the sentences are."""
    plan = hfspec.plan(SPEC)
    inputs = ", ".join(f"{column.name}: {column.type}" for column in plan.signature.inputs)
    outputs = plan.signature.outputs
    print(f"takes {inputs}; gives {outputs.dtype} of shape {outputs.shape}")

    with tempfile.TemporaryDirectory() as folder:
        artifact = hfspec.compile(SPEC, output=Path(folder) / plan.name)
        # An index remembers the fingerprint of the space its embeddings are of; a predictor of another one is refused.
        fingerprint = artifact.manifest.fingerprint
        print(f"embedding space {fingerprint[:12]}")

        predictor = hfspec.load(artifact.path, expect_fingerprint=fingerprint)
        embeddings = predictor.predict(SENTENCES)
        print(f"{len(embeddings)} embeddings")
        for number, embedding in enumerate(embeddings, start=1):
            print(f"embedding {number} has {len(embedding)} numbers and begins {embedding[:10].round(3)}")
        print(f"cosine similarity {embeddings[0] @ embeddings[1]:.3f}")


if __name__ == "__main__":
    main()
