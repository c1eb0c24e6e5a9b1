"""Compile a spec, load the artifact, get answers: the whole of hfspec from Python.

Usage: python examples/quickstart.py [SPEC]      (default: specs/minilm.yaml, which needs no network)
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hfspec


def main(spec: Path) -> None:
    """Plan, compile, verify, load, predict."""
    plan = hfspec.plan(spec)
    print(f"{plan.name}: {plan.deployment.model_class}, {plan.parameters:,} parameters, {plan.deployment.dtype}")

    with tempfile.TemporaryDirectory() as folder:
        artifact = hfspec.compile(spec, output=Path(folder) / plan.name)
        print(f"compiled {len(artifact.manifest.files)} files, digest {artifact.digest[:12]}")

        predictor = hfspec.load(artifact.path)
        embeddings = predictor.predict(["I enjoy pies of both apple and cherry.", "I prefer cookies."])
        print(f"embeddings of shape {embeddings.shape}; the first begins {embeddings[0, :4].round(4)}")

        full = predictor.predict("I prefer cookies.", outputs="full")
        print(f"one text, everything known of it: {full[0]['tokens']} tokens, cut: {full[0]['truncated']}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "specs/minilm.yaml"))
