"""What is not a number leaves no predictor as an answer: activations that overflow in float16 are noticed."""

from __future__ import annotations

import json
import sys

import pytest
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.errors import OutputError
from tests import interpreters
from tests.checkpoint_tasks import task_of
from tests.runtime.sounds import tone

NAMES = ["bert-sentiment", "minilm-like", "ce-msmarco", "splade", "gpt2", "whisper", "wav2vec2-ctc", "vit"]
FACTOR = 3e4


def overflowing(folder, factor=FACTOR):
    """The checkpoint with norms that make activations too large for float16, each weight itself within its range."""
    file = folder / "model.safetensors"
    tensors = load_file(file)
    for name, tensor in tensors.items():
        if "norm" in name.lower() or ".ln_" in name:
            tensors[name] = (tensor * factor).clamp(-6e4, 6e4)
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def row_of(name):
    if name in ("whisper", "wav2vec2-ctc"):
        return {"array": tone(440.0, 1.0), "sampling_rate": 16000}
    if name == "vit":
        import numpy as np

        return np.full((8, 8, 3), 128, np.uint8)
    return {"query": "a film", "document": "a fine film"} if name == "ce-msmarco" else "a fine film"


@pytest.mark.parametrize("form", ["standard", "full"])
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_that_is_no_number_is_refused_with_its_row_and_dtype(own_copy, build, name, form):
    source = overflowing(own_copy(name))
    folder = build(source, task_of(source)[1], dtype="float16")
    predictor = hfspec.load(folder)
    row = row_of(name)
    for ask in (
        predictor.predict,
        predictor.predict_json,
        lambda *data, **more: list(predictor.predict_iter(*data, **more)),
    ):
        with pytest.raises(OutputError, match=r"row 0: .*float16.*float32"):
            ask([row], outputs=form)


@pytest.mark.parametrize(
    ("name", "task", "data"),
    [
        ("bart", "summarization", "a fine film"),
        ("roberta-mnli", "zero-shot-classification", {"sequences": "a fine film", "candidate_labels": ["a", "b"]}),
        ("minilm-like", "sentence-similarity", [("a film", "a fine film")]),
        ("bert-ner", "token-classification", "a fine film"),
        ("bert-mlm", "fill-mask", "a [MASK] film"),
        ("distilbert-squad", "question-answering", {"question": "who?", "context": "the dog is in the house"}),
    ],
)
def test_other_tasks_refuse_it_too(own_copy, build, name, task, data):
    predictor = hfspec.load(build(overflowing(own_copy(name)), task, dtype="float16"))
    for form in ("standard", "full"):
        with pytest.raises(OutputError, match=r"row 0: .*float16"):
            predictor.predict(data, outputs=form)


def test_the_row_is_named_among_rows_that_have_an_answer(own_copy, build):
    """One token's embedding is infinite: the rows without it are answered, and the row with it is named."""
    from transformers import AutoTokenizer

    folder = own_copy("bert-sentiment")
    (token, *_) = AutoTokenizer.from_pretrained(folder)("film", add_special_tokens=False)["input_ids"]
    tensors = load_file(folder / "model.safetensors")
    tensors[next(key for key in tensors if key.endswith("word_embeddings.weight"))][token] = float("inf")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    predictor = hfspec.load(build(folder, "text-classification"))
    rows = ["good", "bad", "a film", "good"]
    assert len(predictor.predict(["good", "bad", "good"])) == 3
    with pytest.raises(OutputError, match="row 2: "):
        predictor.predict(rows)
    answers = predictor.predict_iter(iter(rows), window=2)
    assert [next(answers)["label"], next(answers)["label"]] == predictor.predict(rows[:2])["label"].tolist()
    with pytest.raises(OutputError, match="row 2: "):
        next(answers)


def test_what_is_a_number_in_a_wider_dtype_is_answered(own_copy, build):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = overflowing(own_copy("bert-sentiment"), 300)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    odds = model(**AutoTokenizer.from_pretrained(folder)("a fine film", return_tensors="pt")).logits.softmax(-1)
    found = hfspec.load(build(folder, "text-classification")).predict("a fine film")
    assert found["score"][0] == pytest.approx(odds.max().item(), abs=1e-5)


@pytest.mark.parametrize("params", [{"do_sample": True}, {"num_beams": 2}, {"stop_strings": ["x"]}], ids=str)
def test_generation_says_so_however_it_chooses(own_copy, build, params):
    folder = build(overflowing(own_copy("gpt2")), "text-generation", dtype="float16", model_config=params)
    with pytest.raises(OutputError, match=r"row 0: .*float16"):
        hfspec.load(folder).predict(["a film"])


def test_the_trial_of_a_compile_fails(own_copy, tmp_path):
    source = overflowing(own_copy("bert-sentiment"))
    spec = {
        "spec_version": 1,
        "library": "transformers",
        "task": "text-classification",
        "dtype": "float16",
        "input_example": ["a film"],
    }
    (tmp_path / "s.yaml").write_text(json.dumps({**spec, "model": {"path": str(source)}}))
    with pytest.raises(hfspec.SpecError, match=r"nan or infinity.*float16"):
        hfspec.compile(tmp_path / "s.yaml", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    hfspec.compile(tmp_path / "s.yaml", output=tmp_path / "out", run=False)
    with pytest.raises(hfspec.VerificationError, match=r"nan or infinity.*float16"):
        hfspec.verify(tmp_path / "out", run=True)
    command = [sys.executable, str(tmp_path / "out" / "predictor.py"), "a film"]
    done = interpreters.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode != 0, done.stdout) == (True, "")
    assert "nan or infinity" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.probes
@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "vit", "ce-msmarco", "minilm-like", "whisper"])
def test_a_compile_without_examples_tries_one_input_of_the_task(own_copy, tmp_path, name):
    source = overflowing(own_copy(name))
    library, task = task_of(source)
    spec = {"spec_version": 1, "library": library, "task": task, "model": {"path": str(source)}}
    (tmp_path / "s.yaml").write_text(json.dumps({**spec, "dtype": "float16"}))
    with pytest.raises(hfspec.SpecError, match=r"answers no plain input of .*nan or infinity.*float16"):
        hfspec.compile(tmp_path / "s.yaml", output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "s.yaml").write_text(json.dumps({**spec, "dtype": "float64"}))
    assert hfspec.compile(tmp_path / "s.yaml", output=tmp_path / "out").path.exists()
