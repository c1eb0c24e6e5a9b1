"""The examples of chat and of prompt templates run on tiny models of the same kind."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.examples.test_examples import run


@pytest.fixture
def spec(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    def write(name: str, task: str, **keys: object) -> Path:
        file = tmp_path / "spec.yaml"
        model = {"path": str(checkpoint(name))}
        text = {"spec_version": 1, "library": "transformers", "task": task, "model": model, **keys}
        file.write_text(json.dumps(text), encoding="utf-8")
        return file

    return write


def test_conversational_chat(spec: Callable[..., Path]) -> None:
    printed = run(sys.executable, "examples/conversational_chat.py", spec("dialogpt", "conversational"))
    assert printed.startswith("user: What is machine learning?\nassistant: ")
    assert "'What is machine learning?<|endoftext|>" in printed
    assert "Can you give me an example?<|endoftext|>'" in printed
    assert "answers to two: 2" in printed


def test_openai_chat(spec: Callable[..., Path]) -> None:
    printed = run(sys.executable, "examples/openai_chat.py", spec("qwen-chat", "llm/v1/chat"))
    whole, _, rest = printed.partition("\nstreamed: ")
    completion = json.loads(whole)
    assert completion["usage"]["completion_tokens"] <= 20
    assert rest.startswith(completion["choices"][0]["message"]["content"])
    assert "choice 0: " in rest
    assert "choice 1: " in rest
    assert "tokens made: 3 and 9" in rest
    assert "did you mean 'max_tokens'" in rest


def test_prompt_templating(spec: Callable[..., Path]) -> None:
    file = spec("gpt2", "text-generation", prompt_template="Answer the following question: {prompt}")
    printed = run(sys.executable, "examples/prompt_templating.py", file)
    assert "read:   'Answer the following question: What is the capital of France?'" in printed
    assert "read:   'Answer the following question: a text with {braces} in it'" in printed
    assert "read:   'Write this as a headline: What is the capital of France?\\nHeadline:'" in printed
    assert "refused: The template has no slot" in printed
