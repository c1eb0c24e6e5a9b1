"""Every task of graphs beside the same artifact by torch: the same answers, through the same interface."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hfspec
from hfspec.tasks.weight_formats import ONNX, WEIGHT_FORMATS
from tests.compiling import change_json, change_tensors, refusal, write_spec
from tests.samples import SAMPLES, ST, TRANSFORMERS

CLOSE = 1e-4
# Task -> its checkpoint and settings of a call.
ASKED: dict[tuple[str, str], tuple[str, list[dict[str, Any]]]] = {
    (TRANSFORMERS, "zero-shot-classification"): ("roberta-mnli", [{}, {"multi_label": True}]),
    (TRANSFORMERS, "token-classification"): (
        "bert-ner",
        [{"stride": 8, "aggregation_strategy": "first"}, {"truncation": True, "aggregation_strategy": "none"}],
    ),
    (TRANSFORMERS, "question-answering"): ("roberta-squad2", [{"top_k": 2}, {"handle_impossible_answer": True}]),
    (TRANSFORMERS, "feature-extraction"): ("distilbert-mlm", [{"truncation": True}]),
    (ST, "sparse-embedding"): ("splade", [{}, {"max_active_dims": 5}]),
    (ST, "text-ranking"): ("ce-msmarco", [{}, {"activation_fn": "identity", "max_length": 12}]),
}
LOADED = """
import sys, hfspec
hfspec.load(sys.argv[1])
assert not {"torch", "transformers", "pandas", "safetensors"} & {name.split(".")[0] for name in sys.modules}
"""


def close(one: Any, other: Any) -> None:
    """Both are the same, numbers nearly."""
    if isinstance(one, dict):
        assert set(one) == set(other)
        for name in one:
            if name != "fingerprint":
                close(one[name], other[name])
    elif isinstance(one, list | tuple) and one and not isinstance(one[0], int | float):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            close(mine, theirs)
    elif isinstance(one, str | None):
        assert one == other
    else:
        np.testing.assert_allclose(one, other, atol=CLOSE)


def shallow(source: Path, folder: Path) -> Path:
    """A copy of a checkpoint with its first layer alone: torch.onnx takes seconds a layer."""
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    change_json(folder / "config.json", **{"n_layers" if "n_layers" in config else "num_hidden_layers": 1})

    def first_layer(tensors: dict) -> None:
        for name in [name for name in tensors if ".layer.1." in name]:
            del tensors[name]

    change_tensors(folder, first_layer)
    return folder


@pytest.fixture(scope="module", params=ASKED, ids=lambda task: task[1])
def pair(request, tmp_path_factory, checkpoint):
    """The task, and the artifacts by a graph and by torch."""
    library, task = request.param
    place = tmp_path_factory.mktemp(task)
    model = shallow(checkpoint(ASKED[request.param][0]), place / "model")
    keys = {"library": library, "task": task}
    made = [
        hfspec.compile(write_spec(place / kind, model, **keys, format=kind), output=place / f"{kind}-artifact").path
        for kind in ("onnx", "safetensors")
    ]
    return request.param, made


def test_a_graph_answers_as_torch_does(pair):
    task, artifacts = pair
    for config in ASKED[task][1]:
        rows = SAMPLES[task].rows()
        graph, torch = (hfspec.load(one, model_config=config or None) for one in artifacts)
        for form in ("standard", "full"):
            close(graph.predict_json(rows, outputs=form), torch.predict_json(rows, outputs=form))


def test_a_new_process_loads_it_without_torch(pair):
    _, (graph, _) = pair
    done = subprocess.run([sys.executable, "-c", LOADED, str(graph)], capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_cross_encoder_with_another_function_is_refused(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("ce-msmarco"), tmp_path / "ce"))
    own = {"activation_fn": "torch.nn.modules.activation.Softplus", "version": "5.0.0"}
    change_json(folder / "config.json", sentence_transformers=own, sbert_ce_default_activation_function=None)
    error = refusal(write_spec(tmp_path / "specs", folder, library=ST, task="text-ranking", format="onnx"))
    assert "Softplus" in str(error)


def test_a_task_that_no_graph_answers_is_refused_with_those_that_are_offered(checkpoint, tmp_path):
    spec = write_spec(tmp_path, checkpoint("whisper"), task="automatic-speech-recognition", format="onnx")
    (problem,) = hfspec.validate(spec)
    assert problem.code == "format"
    assert all(offered in problem.expected for offered in WEIGHT_FORMATS[ONNX].offers(TRANSFORMERS))
