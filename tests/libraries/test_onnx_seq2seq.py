"""Encoder-decoder models as two graphs: answers are those of the model itself, by generate(), with every setting."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hfspec
from hfspec.libraries.onnxruntime import encoder_decoder_source
from hfspec.libraries.onnxruntime.encoder_decoder import DECODER, ENCODER
from tests.compiling import change_json, refusal, write_spec
from tests.runtime.generation.test_seq2seq import truths

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
TASKS = {"t5": "summarization", "marian": "translation"}
TEXTS = ["the dog", "hello world, this is a film", "a man is eating food in the rain " * 4, "x"]
PLAIN = {"max_new_tokens": 9, "num_beams": 1, "min_length": 0, "no_repeat_ngram_size": 0}


@pytest.fixture(scope="module")
def made(checkpoint, tmp_path_factory):
    """``made(name, format)``: the artifact of a tiny checkpoint, compiled once."""
    known = {}

    def get(name, kind="onnx"):
        if (name, kind) not in known:
            place = tmp_path_factory.mktemp(name)
            keys = {"task": TASKS[name], "format": kind}
            spec = write_spec(place, checkpoint(name), **keys)
            known[name, kind] = hfspec.compile(spec, output=place / "artifact")
        return known[name, kind]

    return get


@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 3, "length_penalty": 2.0, "early_stopping": True},
        {"no_repeat_ngram_size": 2, "min_length": 6},
        {"repetition_penalty": 1.7, "use_cache": False},
        {"encoder_repetition_penalty": 1.5},
    ],
    ids=lambda settings: "-".join(settings) or "greedy",
)
def test_answers_are_those_of_the_model_alone(made, checkpoint, name, settings):
    prefix, chosen = "summarize: " if name == "t5" else "", {**PLAIN, **settings}
    wanted = [text for text, _ in truths(checkpoint(name), [prefix + text for text in TEXTS], **chosen)]
    assert hfspec.load(made(name).path, model_config=chosen).predict(TEXTS) == wanted


@pytest.mark.parametrize("name", TASKS)
def test_draws_stop_texts_and_full_answers_are_those_by_torch(made, name):
    for settings in (
        {},
        {"do_sample": True, "num_beams": 1, "num_return_sequences": 2, "seed": 5},
        {"num_beams": 4, "num_return_sequences": 3},
        {"stop_strings": ["e"], "max_new_tokens": 12},
    ):
        rows = [
            hfspec.load(made(name, kind).path, model_config=settings).predict_json(TEXTS, outputs="full")
            for kind in ("onnx", "safetensors")
        ]
        assert rows[0] == rows[1]


def test_the_artifact_has_both_graphs_and_no_weights(made):
    result = made("marian")
    names = {path.name for path in (result.path / "model").iterdir()}
    assert {ENCODER, DECODER, "source.spm", "target.spm"} <= names
    assert not [name for name in names if "safetensors" in name or name == "graph.json"]
    requirements = (result.path / "requirements.txt").read_text()
    assert all(f"{name}==" in requirements for name in ("onnxruntime", "sentencepiece", "torch", "transformers"))
    graph = json.loads((result.path / "artifact.json").read_bytes())["graph"]
    assert 0 <= graph["difference"] < 1e-4
    assert f"model/{ENCODER} computes what torch computes" in " ".join(result.notes)


def test_mlflow_loads_it(made):
    import mlflow.pyfunc

    answer = mlflow.pyfunc.load_model(str(made("t5").path)).predict(["the dog"])
    assert list(answer) == hfspec.load(made("t5").path).predict(["the dog"])


@pytest.mark.parametrize("name", [ENCODER, DECODER])
def test_a_damaged_graph_is_found(made, tmp_path, name):
    folder = Path(shutil.copytree(made("t5").path, tmp_path / "artifact"))
    path = folder / "model" / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(hfspec.VerificationError, match=name):
        hfspec.load(folder)
    with pytest.raises(hfspec.StorageError, match=name):
        hfspec.load(folder, verify=False)


@pytest.mark.parametrize(
    ("name", "task", "keys", "words"),
    [
        ("bart", "summarization", {}, ["bart", "marian", "Leave out `format`"]),
        ("m2m100", "translation", {}, ["m2m_100", "t5"]),
        ("t5", "summarization", {"quantization": {"method": "dynamic-int8"}}, ["stay in float32", "Remove"]),
        ("t5", "summarization", {"runtime": {"backend": "onednn"}}, ["backend", "Remove"]),
    ],
)
def test_what_does_not_become_graphs_is_refused_before_it_is_compiled(checkpoint, tmp_path, name, task, keys, words):
    error = str(refusal(write_spec(tmp_path, checkpoint(name), task=task, format="onnx", **keys)))
    assert all(word in error for word in words), error


def test_a_graph_of_the_source_is_refused(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint("t5"), tmp_path / "t5"))
    (folder / "decoder.onnx").write_bytes(b"")
    model = {"path": str(folder), "file": "decoder.onnx"}
    spec = write_spec(tmp_path / "specs", folder, task="summarization", format="onnx", model=model)
    assert "decoder.onnx" in str(refusal(spec))


def test_a_model_that_answers_otherwise_step_by_step_is_refused(checkpoint, tmp_path, monkeypatch):
    step = encoder_decoder_source.EncoderDecoderSource._step

    def shifted(self, inputs):
        logits, *kept = step(self, inputs)
        return (logits * 2, *kept)

    monkeypatch.setattr(encoder_decoder_source.EncoderDecoderSource, "_step", shifted)
    spec = write_spec(tmp_path, checkpoint("t5"), task="summarization", format="onnx")
    with pytest.raises(hfspec.SpecError, match="token by token"):
        hfspec.compile(spec, output=tmp_path / "artifact")
    assert not (tmp_path / "artifact").exists()


def test_a_checkpoint_without_a_generation_config_gives_the_same_graphs(made, checkpoint, tmp_path):
    """What its config.json says of beams and lengths holds, as it does by torch."""
    folder = Path(shutil.copytree(checkpoint("marian"), tmp_path / "marian"))
    generation = json.loads((folder / "generation_config.json").read_bytes())
    (folder / "generation_config.json").unlink()
    change_json(folder / "config.json", **{**generation, "num_beams": 2, "max_length": 7})
    answers = []
    for kind in ("onnx", "safetensors"):
        spec = write_spec(tmp_path / kind, folder, task="translation", format=kind)
        artifact = hfspec.compile(spec, output=tmp_path / f"{kind}-artifact").path
        answers.append(hfspec.load(artifact).predict(TEXTS))
    assert answers[0] == answers[1]
    for name in (ENCODER, DECODER):
        made_here = tmp_path / "onnx-artifact" / "model" / name
        assert made_here.read_bytes() == (made("marian").path / "model" / name).read_bytes()
