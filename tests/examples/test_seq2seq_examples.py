"""The examples of generated and translated text run on tiny models of the same kind."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from tests.examples.test_examples import run

SPEC = """
spec_version: 1
library: transformers
task: {task}
model: {{path: {model}}}
"""
GENERATION = """
signature:
  params:
    max_length: {type: long, default: 12, minimum: 2, maximum: 20}
    do_sample: true
    temperature: {default: 0.4, minimum: 0.01, maximum: 2.0}
    seed: {type: long, default: 0, minimum: 0}
model_config: {num_beams: 1}
"""
COMPONENT = """
components:
  tokenizer: {{path: {model}, options: {{model_max_length: 100}}}}
"""


def test_text_generation(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(SPEC.format(task="text2text-generation", model=checkpoint("t5")) + GENERATION, encoding="utf-8")
    printed = run(sys.executable, "examples/text_generation.py", spec)
    assert "callers may set: max_length (12), do_sample (True), temperature (0.4), seed (0)" in printed
    assert printed.count("Please tell me a joke about hiking.") == 2
    assert "the same seed, the same answers: True" in printed
    assert printed.count("ended by") == 2
    assert "did you mean 'temperature'" in printed
    assert printed.count("refused:") == 3


def test_translation(checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    model = checkpoint("t5")
    text = SPEC.format(task="translation_en_to_fr", model=model) + COMPONENT.format(model=model)
    spec.write_text(text, encoding="utf-8")
    lines = run(sys.executable, "examples/translation.py", spec).splitlines()
    assert lines[0].startswith("MLflow is great! -> ")
    assert lines[2] == "the model read: 'translate English to French: MLflow is great!'"
    assert lines[3].startswith("from en into fr, ")
    assert lines[4:6] == [
        "model: T5ForConditionalGeneration",
        "tokenizer: T5Tokenizer, options {'model_max_length': 100}",
    ]
    assert lines[6].startswith("without hfspec: ")
    assert "the model reads at most 100" in lines[7]
