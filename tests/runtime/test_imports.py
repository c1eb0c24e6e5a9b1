"""What loading and answering imports, counted in modules of a fresh process: a cold start is mostly imports."""

from __future__ import annotations

import json
import os
import subprocess
import sys

# Answers through predict_json, as the predictor's own command line does. One process: a module stays once it is there.
PROGRAM = """
import json, sys, hfspec
for folder, row in json.loads(sys.argv[1]):
    hfspec.load(folder).predict_json([row])
    print(json.dumps([folder, sorted(sys.modules)]))
"""
COMPILER = {"pydantic", "jsonschema", "ruamel", "typer", "hydra", "omegaconf", "mlflow"}
# Each is for a task or a setting that none of these artifacts has; pandas is for the tables that predict gives.
UNASKED = {
    "sentence_transformers",
    "sklearn",
    "pandas",
    "datasets",
    "peft",
    "av",
    "soundfile",
    "librosa",
    "onnxruntime",
}
FAMILIES = {
    "sentences.sentence_encoder",
    "generation.causal_generation",
    "chat.chat",
    "questions.question_answering",
    "media.media",
}
# In this order: each needs, of hfspec's families of tasks, no more than those before it needed and these.
NEEDED = {
    "bert-sentiment": set(),
    "minilm-like": {"sentences.sentence_encoder"},
    "gpt2": {"generation.causal_generation"},
}


def test_loading_imports_what_the_task_needs(artifact):
    folders = [str(artifact(name)) for name in NEEDED]
    command = [sys.executable, "-c", PROGRAM, json.dumps([(folder, "a film") for folder in folders])]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    assert [folder for folder, _ in lines] == folders
    allowed: set[str] = set()
    for (folder, found), needed in zip(lines, NEEDED.values(), strict=True):
        allowed |= needed
        assert sorted((COMPILER | UNASKED) & {module.partition(".")[0] for module in found}) == [], folder
        ours = {module.removeprefix("hfspec.runtime.") for module in found}
        assert sorted(FAMILIES & ours) == sorted(allowed), folder
