"""Hold a conversation: each answer goes into the messages of the next call.

Usage: python examples/conversational_chat.py [SPEC]

SPEC is by default specs/conversational.yaml, whose DialoGPT comes from the hub (about 1 GB); any spec of the task
conversational will do. A predictor keeps nothing between calls: the conversation is the caller's.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import hfspec

QUESTIONS = ["What is machine learning?", "Can you give me an example?"]


def main(spec: Path) -> None:
    """Compile, load, and ask each question with all that was said before it."""
    with tempfile.TemporaryDirectory() as folder:
        chatbot = hfspec.load(hfspec.compile(spec, output=Path(folder) / "chatbot").path)

        messages: list[dict[str, str]] = []
        for question in QUESTIONS:
            messages.append({"role": "user", "content": question})
            (answer,) = chatbot.predict(messages)
            messages.append({"role": "assistant", "content": answer})
            print(f"user: {question}\nassistant: {answer}")

        (full,) = chatbot.predict(messages[:-1], outputs="full")
        print(f"the model read {full['prompt_tokens']} tokens: {full['prompt']!r}")
        print(f"and made {full['completion_tokens']}, ended by {full['finish_reason']}")

        # A text is a conversation of one message; a list of conversations gets one answer each.
        print(f"answers to two: {len(chatbot.predict(['Hi there!', messages[:-1]]))}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "specs/conversational.yaml"))
