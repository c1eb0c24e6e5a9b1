"""Answer OpenAI chat requests, whole and streamed.

Usage: python examples/openai_chat.py [SPEC]

SPEC is by default specs/chat.yaml, whose TinyLlama comes from the hub (about 2 GB); any spec of the task llm/v1/chat
will do. The answers are plain JSON values in the form of the OpenAI API, so that its client's types read them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import hfspec

MESSAGES = [
    {"role": "system", "content": "You are a helpful assistant."},
    {"role": "user", "content": "What is machine learning?"},
]


def main(spec: Path) -> None:
    """Compile, load, and put the same question in several ways."""
    with tempfile.TemporaryDirectory() as folder:
        predictor = hfspec.load(hfspec.compile(spec, output=Path(folder) / "chat").path)

        completion = predictor.predict({"messages": MESSAGES, "max_tokens": 20, "temperature": 0})
        print(json.dumps(completion, indent=2))

        print("streamed: ", end="")
        for chunk in predictor.predict({"messages": MESSAGES, "max_tokens": 20, "temperature": 0, "stream": True}):
            print(chunk["choices"][0]["delta"].get("content", ""), end="", flush=True)
        print()

        choices = predictor.predict({"messages": MESSAGES, "n": 2, "seed": 7, "temperature": 1, "max_tokens": 12})
        for choice in choices["choices"]:
            print(f"choice {choice['index']}: {choice['message']['content']!r}, {choice['finish_reason']}")

        # A list of requests gets a list of objects, each with its own settings.
        few, more = predictor.predict([{"messages": MESSAGES, "max_tokens": count} for count in (3, 9)])
        print(f"tokens made: {few['usage']['completion_tokens']} and {more['usage']['completion_tokens']}")

        try:
            predictor.predict({"messages": MESSAGES, "max_tokns": 5})
        except hfspec.InputError as error:
            print(f"refused: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "specs/chat.yaml"))
