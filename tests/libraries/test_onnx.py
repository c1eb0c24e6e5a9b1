"""Models as graphs: made and checked at compile, answered without torch, with the answers that torch gives."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import hfspec
from hfspec.ir import manifest_versions
from tests.compiling import change_json, change_tensors, refusal, write_spec

CLOSE = 1e-4
HEAVY = ("torch", "transformers", "pandas", "safetensors", "sentence_transformers")
TEXTS = ["hello world", "", "the capital of Spain is Madrid " * 60, "a b c", "one two three four five six"]
PAIRS = [
    {"text": "hello world", "text_pair": "good day"},
    {"text": "a b c"},
    {"text": "good", "text_pair": "bad " * 20},
]
ASKED = """
import json, sys, hfspec
predictor = hfspec.load(sys.argv[1])
answer = predictor.predict_json(json.loads(sys.argv[2]), outputs="full")
print(json.dumps({"answer": answer, "modules": sorted({name.split(".")[0] for name in sys.modules})}))
"""


# MLflow warns of its own type hints.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def prompted(tmp_path_factory, checkpoint):
    """A checkpoint with a dense layer whose pooling leaves prompts out, and the artifact of it as a graph."""
    place = tmp_path_factory.mktemp("prompted")
    folder = Path(shutil.copytree(checkpoint("st-dense"), place / "st-dense"))
    change_json(
        folder / "1_Pooling/config.json",
        pooling_mode_cls_token=False,
        pooling_mode_mean_tokens=True,
        include_prompt=False,
    )
    param = {"default": "passage", "choices": ["query", "passage"]}
    spec = write_spec(place / "specs", folder, format="onnx", signature={"params": {"prompt_name": param}})
    return folder, hfspec.compile(spec, output=place / "artifact").path


def asked(artifact: Path, rows: object) -> dict:
    """The full answers of a new process, and what it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", ASKED, str(artifact), json.dumps(rows)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_embeddings_are_those_of_the_library(exported, checkpoint):
    from sentence_transformers import SentenceTransformer

    made = hfspec.load(exported("minilm-like").path).predict(TEXTS)
    wanted = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(made, wanted, atol=CLOSE)


@pytest.mark.parametrize("name", ["query", "passage"])
def test_a_prompt_that_pooling_leaves_out_and_a_dense_layer(prompted, name):
    from sentence_transformers import SentenceTransformer

    folder, artifact = prompted
    made = hfspec.load(artifact).predict(TEXTS, params={"prompt_name": name})
    wanted = SentenceTransformer(str(folder), device="cpu").encode(TEXTS, prompt_name=name)
    np.testing.assert_allclose(made, wanted, atol=CLOSE)


def test_settings_of_embeddings_do_what_they_do_by_torch(exported, compiled):
    config = {"truncate_dim": 8, "normalize_embeddings": True}
    graph, torch = (hfspec.load(made("minilm-like").path, model_config=config) for made in (exported, compiled))
    np.testing.assert_allclose(graph.predict(TEXTS), torch.predict(TEXTS), atol=CLOSE)
    told = [[(row["tokens"], row["truncated"]) for row in one.predict(TEXTS, outputs="full")] for one in (graph, torch)]
    assert told[0] == told[1]


def test_a_model_of_embeddings_answers_as_the_openai_api(exported):
    graph, request = hfspec.load(exported("minilm-like").path), {"input": ["hello world", "a b c"]}
    answer = graph.over_task("llm/v1/embeddings").predict(request)
    np.testing.assert_allclose([one["embedding"] for one in answer["data"]], graph.predict(request["input"]), atol=1e-6)


def test_a_new_process_imports_neither_torch_nor_what_needs_it(exported):
    said = asked(exported("minilm-like").path, TEXTS)
    assert not set(HEAVY) & set(said["modules"])
    here = hfspec.load(exported("minilm-like").path).predict(TEXTS)
    np.testing.assert_allclose([row["embedding"] for row in said["answer"]], here, atol=1e-6)


def test_labels_of_a_new_process_are_those_of_the_pipeline(exported, checkpoint):
    from transformers import pipeline

    texts = [text for text in TEXTS if len(text) < 200]
    said = asked(exported("bert-sentiment").path, texts)
    assert not set(HEAVY) & set(said["modules"])
    wanted = pipeline("text-classification", str(checkpoint("bert-sentiment")), device="cpu")(texts, top_k=None)
    for mine, theirs in zip(said["answer"], wanted, strict=True):
        assert mine["labels"] == [label["label"] for label in theirs]
        np.testing.assert_allclose(mine["scores"], [label["score"] for label in theirs], atol=CLOSE)


@pytest.mark.parametrize(
    ("config", "rows"),
    [
        ({}, PAIRS),
        ({"top_k": None}, PAIRS[:1]),
        ({"function_to_apply": "none", "top_k": 2}, PAIRS),
        ({"function_to_apply": "sigmoid", "truncation": True}, TEXTS),
    ],
)
def test_settings_of_classification_do_what_they_do_by_torch(exported, compiled, config, rows):
    graph, torch = (
        hfspec.load(made("bert-sentiment").path, model_config=config).predict(rows) for made in (exported, compiled)
    )
    assert list(graph["label"]) == list(torch["label"])
    assert list(graph.columns) == list(torch.columns)
    np.testing.assert_allclose(graph["score"], torch["score"], atol=CLOSE)


def test_a_text_that_is_too_long_is_refused_as_by_torch(exported, compiled):
    said = []
    for made in (exported, compiled):
        with pytest.raises(hfspec.InputError) as caught:
            hfspec.load(made("bert-sentiment").path).predict(TEXTS)
        said.append(str(caught.value))
    assert said[0] == said[1]


def test_the_artifact_lists_what_it_needs_and_says_how_it_was_made(exported, compiled):
    made = exported("minilm-like")
    lines = (made.path / "requirements.txt").read_text().split()
    assert [line.partition("==")[0] for line in lines] == ["numpy", "onnxruntime", "tokenizers"]
    paths = [record.path for record in made.manifest.files]
    assert "model/model.onnx" in paths
    assert not [path for path in paths if path.endswith(".safetensors")]
    graph = made.manifest.graph
    assert graph["exporter"] == "torch.onnx, dynamo"
    assert 0 <= graph["difference"] <= graph["tolerance"] == 1e-4
    assert {"onnx", "onnxscript", "torch", "transformers"} <= set(made.manifest.makers)
    assert any(f"{graph['difference']:g}" in note for note in made.notes)
    assert b"/" + sys.prefix.encode()[1:] not in (made.path / "model/model.onnx").read_bytes()


def test_the_space_is_another_one_and_names_that_of_the_weights(exported, compiled):
    graph, torch = exported("minilm-like").manifest, compiled("minilm-like").manifest
    assert graph.graph["weights_space"] == torch.space
    assert graph.space != torch.space
    assert graph.fingerprint != torch.fingerprint
    with pytest.raises(hfspec.VerificationError, match="embedding space"):
        hfspec.load(exported("minilm-like").path, expect_fingerprint=torch.fingerprint)


def test_what_differs_from_the_weights_artifact(exported, compiled):
    changes = hfspec.diff(compiled("minilm-like").path, exported("minilm-like").path)
    said = " ".join(map(str, changes))
    assert "format" in said
    assert "onnx" in said


def test_an_older_hfspec_says_that_a_newer_one_made_it(exported, compiled, monkeypatch):
    made, plain = exported("minilm-like").path, compiled("minilm-like").path
    assert [json.loads((path / "artifact.json").read_bytes())["format_version"] for path in (made, plain)] == [2, 1]
    older = {1: manifest_versions.READERS[1]}
    monkeypatch.setattr(manifest_versions, "READERS", older)
    assert hfspec.verify(plain).graph == {}
    for refused in (hfspec.verify, hfspec.load):
        with pytest.raises(hfspec.VerificationError, match="was made by a newer hfspec"):
            refused(made)


def test_golden_examples_and_locks_hold_and_the_same_spec_makes_the_same_bytes(
    checkpoint, compiled, exported, tmp_path
):
    answer = hfspec.load(compiled("bert-sentiment").path).predict_plain(["hello world"])
    keys = {"golden": [{"input": ["hello world"], "output": answer, "tolerance": 1e-4}], "format": "onnx"}
    spec = write_spec(tmp_path / "specs", checkpoint("bert-sentiment"), **keys)
    assert "onnxruntime" in hfspec.lock(spec).lock.versions
    made = hfspec.compile(spec, output=tmp_path / "artifact", locked=True)
    for path in ("model/model.onnx", "model/graph.json", "model/tokenizer.json"):
        assert (made.path / path).read_bytes() == (exported("bert-sentiment").path / path).read_bytes()


@pytest.mark.parametrize(
    ("keys", "path", "words"),
    [
        ({"save_mode": "reference"}, "save_mode", "full"),
        ({"dtype": "bfloat16"}, "dtype", "float32"),
        ({"dtype": "float16"}, "dtype", "float32"),
        ({"adapter": {"path": "/nowhere"}}, "adapter.merge", "merge: true"),
        ({"trust_remote_code": [{"file": "a.py", "sha256": "0" * 64}]}, "trust_remote_code", "code"),
        ({"runtime": {"backend": "openvino"}}, "runtime.backend", "onnx"),
        ({"runtime": {"backend": "onednn"}}, "runtime.backend", "onnx"),
        ({"runtime": {"device_map": "auto"}}, "runtime.device_map", "onnx"),
        ({"runtime": {"device": "cuda"}}, "runtime.device", "CPU"),
        ({"task": "fill-mask"}, "format", "text-classification"),
        ({"format": "gguf"}, "format", "safetensors"),
    ],
)
def test_what_does_not_go_with_a_graph_is_refused(spec_for, keys, path, words):
    spec = spec_for("bert-sentiment", **{"format": "onnx", **keys})
    found = {".".join(map(str, problem.path)): str(problem) for problem in hfspec.validate(spec)}
    assert words in found[path]


def test_a_library_that_has_graphs_of_its_own_takes_no_format(spec_for):
    spec = spec_for("bert-sentiment", library="onnxruntime-genai", task="text-generation", format="onnx")
    assert any("Leave out `format`" in str(problem) for problem in hfspec.validate(spec))


def test_weights_of_another_dtype_are_refused_and_can_be_cast(checkpoint, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "half"))
    tensors = load_file(folder / "model.safetensors")
    halves = {name: tensor.to(torch.bfloat16) for name, tensor in tensors.items()}
    save_file(halves, folder / "model.safetensors", metadata={"format": "pt"})
    spec = write_spec(tmp_path / "specs", folder, format="onnx", task="text-classification")
    error = refusal(spec)
    assert "bfloat16" in str(error)
    assert "dtype: float32" in str(error)
    assert hfspec.plan(spec, overrides=["+dtype=float32"]).deployment.dtype == "float32"


def test_a_tokenizer_in_python_alone_is_refused(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "slow"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "EsmTokenizer"}))
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(["<cls>", "<pad>", "<eos>", "<unk>", "<mask>", *"abc"]))
    error = refusal(write_spec(tmp_path / "specs", folder, format="onnx", task="text-classification"))
    assert any(problem.code == "format" and "tokenizer.json" in str(problem) for problem in error.problems)


def test_a_graph_beyond_the_tolerance_is_refused(exported, checkpoint, tmp_path, monkeypatch):
    graph = exported("bert-sentiment").path / "model/model.onnx"
    folder = Path(shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "other"))
    change_tensors(folder, lambda tensors: tensors["classifier.weight"].mul_(2))
    exporting = "hfspec.libraries.onnxruntime.exporting.write_graph"
    monkeypatch.setattr(exporting, lambda module, example, path, **_: shutil.copyfile(graph, path) and 20)
    error = refusal(write_spec(tmp_path / "specs", folder, format="onnx", task="text-classification"))
    assert re.search(r"expected numbers at most 0.0001 apart; found \d", str(error))


def test_a_model_that_cannot_be_exported_is_refused(spec_for, monkeypatch):
    import torch

    def fails(*_, **__):
        raise RuntimeError("no operator of ONNX does this\nand more")

    monkeypatch.setattr(torch.onnx, "export", fails)
    error = refusal(spec_for("bert-sentiment", format="onnx"))
    assert "no operator of ONNX does this." in str(error)
    assert "Leave out `format`" in str(error)


@pytest.mark.parametrize("path", ["model/model.onnx", "model/graph.json", "model/tokenizer.json"])
def test_a_damaged_graph_is_found(exported, tmp_path, path):
    folder = Path(shutil.copytree(exported("bert-sentiment").path, tmp_path / "artifact"))
    (folder / path).chmod(0o644)
    content = (folder / path).read_bytes()
    (folder / path).write_bytes(content[: len(content) // 2])
    with pytest.raises(hfspec.VerificationError, match=path):
        hfspec.verify(folder)
    with pytest.raises(hfspec.VerificationError, match=path):
        hfspec.load(folder)
    with pytest.raises(hfspec.StorageError, match=Path(path).name):
        hfspec.load(folder, verify=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"device": "cuda"}, "CPU"),
        ({"dtype": "bfloat16"}, "float32"),
        ({"backend": "openvino"}, "backend"),
        ({"device_map": "auto"}, "device_map"),
        ({"threads": 0}, "threads"),
    ],
)
def test_what_a_graph_cannot_be_loaded_with(exported, arguments, words):
    with pytest.raises(hfspec.UsageError, match=words):
        hfspec.load(exported("bert-sentiment").path, **arguments)


def test_its_objects_are_those_of_onnxruntime(exported):
    import onnxruntime
    import tokenizers

    predictor = hfspec.load(exported("bert-sentiment").path, threads=1)
    found = predictor.components()
    assert isinstance(found["model"], onnxruntime.InferenceSession)
    assert isinstance(found["tokenizer"], tokenizers.Tokenizer)
    assert predictor.backend == "onnxruntime"
    with pytest.raises(hfspec.UsageError, match="no pipeline"):
        predictor.pipeline()


def test_mlflow_loads_it(exported):
    import mlflow.pyfunc

    model = mlflow.pyfunc.load_model(str(exported("minilm-like").path))
    np.testing.assert_allclose(model.predict(TEXTS), hfspec.load(exported("minilm-like").path).predict(TEXTS))
