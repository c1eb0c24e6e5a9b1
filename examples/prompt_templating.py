"""Put words around every prompt: the spec has them, callers do not write them.

Usage: python examples/prompt_templating.py [SPEC]

SPEC is by default specs/distilgpt2.yaml, whose model comes from the hub (about 350 MB); any spec of the task
text-generation with a prompt_template will do.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hfspec

PROMPTS = ["What is the capital of France?", "a text with {braces} in it"]
OTHER = "Write this as a headline: {prompt}\nHeadline:"


def main(spec: Path) -> None:
    """Show what the model reads with the spec's template, with another, and with none that works."""
    with tempfile.TemporaryDirectory() as folder:
        artifact = hfspec.compile(spec, output=Path(folder) / "templated")
        predictor = hfspec.load(artifact.path)
        print(f"template: {artifact.manifest.deployment.prompt_template!r}")
        for row in predictor.predict(PROMPTS, outputs="full"):
            # With a template the answer leaves the prompt out; return_full_text: true in model_config keeps it.
            print(f"read:   {row['prompt']!r}\nanswer: {row['text']!r}")

        another = hfspec.compile(spec, output=Path(folder) / "other", overrides=[f"prompt_template='{OTHER}'"])
        (row,) = hfspec.load(another.path).predict(PROMPTS[0], outputs="full")
        print(f"read:   {row['prompt']!r}")

    (problem,) = hfspec.validate(spec, overrides=["prompt_template='no place for the prompt'"])
    print(f"refused: {problem.message}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "specs/distilgpt2.yaml"))
