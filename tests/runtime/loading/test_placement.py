"""Where a model is put: by the spec's runtime, or by who loads it."""

from __future__ import annotations

import sys

import pytest
import torch

import hfspec
from hfspec.errors import SpecError, StorageError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.runtime.loading.placement import placement
from tests.runtime.text.test_token_goldens import same

TEXTS = ["a fine film", "no", "the house on the hill"]


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def truth(artifact):
    return hfspec.load(artifact("bert-sentiment"), device="cpu").predict(TEXTS)


def test_the_spec_says_device_and_threads(artifact, truth, threads):
    folder = artifact("bert-sentiment", runtime={"device": "cpu", "threads": 3})
    assert read_manifest(folder).to_json()["deployment"]["runtime"] == {"device": "cpu", "threads": 3}
    predictor = hfspec.load(folder)
    assert (predictor.device, torch.get_num_threads()) == ("cpu", 3)
    assert predictor.predict(TEXTS)["label"].tolist() == truth["label"].tolist()
    hfspec.load(folder, threads=2)
    assert torch.get_num_threads() == 2


def test_threads_are_left_alone_unless_asked_for(artifact, threads):
    torch.set_num_threads(2)
    hfspec.load(artifact("bert-sentiment"))
    assert torch.get_num_threads() == 2


def test_an_artifact_of_a_spec_without_runtime_does_not_speak_of_it(artifact):
    assert "runtime" not in read_manifest(artifact("bert-sentiment")).to_json()["deployment"]


@pytest.mark.parametrize("device_map", ["auto", {"": "cpu"}])
@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "whisper"])
def test_a_model_spread_by_accelerate_answers_the_same(artifact, name, device_map):
    pytest.importorskip("accelerate")
    folder = artifact(name)
    if name == "whisper":
        from tests.runtime.sounds import tone

        data = {"array": tone(220, 1.0), "sampling_rate": 16000}
    else:
        data = TEXTS
    whole = hfspec.load(folder, backend="torch").predict_json(data)  # the arithmetic of a model that is spread
    spread = hfspec.load(folder, device_map=device_map)
    assert spread.predict_json(data) == whole


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a device that is not there")
def test_a_map_reaches_the_library(artifact):
    pytest.importorskip("accelerate")
    with pytest.raises(StorageError, match="the model in model/ could not be loaded"):
        hfspec.load(artifact("bert-sentiment"), device_map={"": "cpu", "classifier": "cuda:0"})
    with pytest.raises(UsageError, match="device 'cuda:0' cannot be used here"):
        hfspec.load(artifact("bert-sentiment"), device_map={"": "cuda:0"})


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "st-dense"])
def test_a_gpu_answers_as_the_cpu_does(artifact, name):
    on_cpu, on_gpu = (hfspec.load(artifact(name), device=device).predict_plain(TEXTS) for device in ("cpu", "cuda"))
    assert same(on_gpu, on_cpu)


def test_the_cpu_has_no_number(artifact):
    """torch takes one, and then looks for the state of a GPU of that number."""
    drawn = {"do_sample": True, "num_beams": 2, "seed": 3, "max_new_tokens": 4}
    predictor = hfspec.load(artifact("gpt2"), device="cpu:0", model_config=drawn)
    assert predictor.device == "cpu"
    assert predictor.predict("a") == hfspec.load(artifact("gpt2"), device="cpu", model_config=drawn).predict("a")


@pytest.mark.parametrize("device_map", [{"": "cpu"}, {"transformer": "cpu", "lm_head": torch.device("cpu")}])
def test_inputs_go_to_the_only_device_of_a_map(artifact, device_map, monkeypatch):
    """Where it is not the one that would be taken unasked."""
    pytest.importorskip("accelerate")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert placement(read_manifest(artifact("gpt2")), None, device_map, None).device == "cpu"


def test_the_spec_may_ask_for_a_device_map(artifact, truth):
    pytest.importorskip("accelerate")
    folder = artifact("bert-sentiment", runtime={"device_map": "auto"})
    assert "accelerate==" in (folder / "requirements.txt").read_text()
    assert hfspec.load(folder).predict(TEXTS)["label"].tolist() == truth["label"].tolist()
    assert hfspec.load(folder, device="cpu").predict(TEXTS)["label"].tolist() == truth["label"].tolist()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"device": "cpu", "device_map": "auto"}, "not both"),
        ({"device_map": "everywhere"}, "device_map must be one of auto"),
        ({"threads": 0}, "threads must be a number"),
        ({"threads": 1.5}, "threads must be a number"),
        ({"device": "tpu"}, "device 'tpu' cannot be used here"),
    ],
)
def test_what_cannot_be_is_refused(artifact, keys, message):
    with pytest.raises(UsageError, match=message):
        hfspec.load(artifact("bert-sentiment"), **keys)


def test_sentence_models_take_one_device(artifact, build, checkpoint):
    with pytest.raises(UsageError, match="give device for sentence-transformers"):
        hfspec.load(artifact("st-dense"), device_map="auto")
    with pytest.raises(SpecError, match="one device"):
        build(checkpoint("st-dense"), "feature-extraction", runtime={"device_map": "auto"})


@pytest.mark.parametrize(
    ("runtime", "message"),
    [
        ({"device": "gpu"}, "runtime.device"),
        ({"threads": 0}, "runtime.threads"),
        ({"thread": 2}, "threads"),
        ({"device": "cpu", "device_map": "auto"}, "spreads it over several"),
        ({"device_map": "every"}, "runtime.device_map"),
    ],
)
def test_wrong_keys_of_the_spec(build, checkpoint, runtime, message):
    with pytest.raises(SpecError, match=message):
        build(checkpoint("bert-sentiment"), "text-classification", runtime=runtime)


def test_a_device_map_without_accelerate_says_what_to_install(artifact, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(UsageError, match=r"pip install 'hfspec\[device-map\]'"):
        hfspec.load(artifact("bert-sentiment"), device_map="auto")
