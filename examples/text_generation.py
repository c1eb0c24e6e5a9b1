"""Answers to instructions: declare what callers may change, compile, load, ask.

Usage: python examples/text_generation.py [SPEC]

SPEC is by default specs/flan-alpaca.yaml, whose model comes from the hub (about 3 GB). The spec declares max_length,
do_sample, temperature and seed as params with defaults and limits; nothing else can be changed by a caller.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hfspec

QUESTIONS = [
    "I can't decide whether to go hiking or kayaking this weekend. Can you help me decide?",
    "Please tell me a joke about hiking.",
]


def sentences(answer: str) -> str:
    """The answer, a sentence a line."""
    return "\n".join(f"  {part.rstrip('.')}." for part in answer.split(". ") if part)


def show(questions: list[str], answers: list[str]) -> None:
    """Each question with its answer."""
    for question, answer in zip(questions, answers, strict=True):
        print(f"{question}\n{sentences(answer)}\n")


def main(spec: Path) -> None:
    """Compile the spec and ask, with the spec's own settings and with others."""
    plan = hfspec.plan(spec)
    print("callers may set: " + ", ".join(f"{param.name} ({param.default})" for param in plan.signature.params))

    with tempfile.TemporaryDirectory() as folder:
        predictor = hfspec.load(hfspec.compile(spec, output=Path(folder) / plan.name).path)
        show(QUESTIONS, predictor.predict(QUESTIONS))

        bolder = {"temperature": 0.7, "seed": 1}
        answers = predictor.predict(QUESTIONS, params=bolder)
        show(QUESTIONS, answers)
        print(f"the same seed, the same answers: {predictor.predict(QUESTIONS, params=bolder) == answers}")

        for full in predictor.predict(QUESTIONS, outputs="full"):
            print(
                f"{full['prompt_tokens']} tokens in, {full['completion_tokens']} out, ended by {full['finish_reason']}"
            )

        for wrong in ({"temprature": 0.7}, {"temperature": 7.0}, {"top_k": 5}):
            try:
                predictor.predict(QUESTIONS, params=wrong)
            except hfspec.ParamsError as error:
                print(f"refused: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "specs/flan-alpaca.yaml"))
