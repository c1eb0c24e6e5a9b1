"""Backends answer as torch does, or say why they cannot."""

from __future__ import annotations

import copy
import json
import sys
from argparse import Namespace
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

import hfspec
from hfspec.errors import SpecError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.runtime.backends import onednn
from hfspec.runtime.backends.onednn import is_faster
from hfspec.runtime.backends.onednn_layers import CALLS, Convolution, Linear, TransposedLinear
from hfspec.runtime.patches.table import ALL

WORDS = ["the", "house", "on", "the", "hill", "is", "a", "fine", "old", "film", "about", "nothing", "at", "all"]
TEXTS = [" ".join(WORDS[place % 5 :] * (1 + place % 3))[: 5 + 9 * place] for place in range(12)]
PAIRS = [(TEXTS[place], TEXTS[-place - 1]) for place in range(6)]
TOLERANCE = 2e-5  # that of golden examples in float32
BACKENDS = ["onednn", "openvino"]


def numbers(answer):
    return np.concatenate([np.ravel(row) for row in answer]) if isinstance(answer, list) else np.asarray(answer)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", ["bert-sentiment", "roberta-mnli", "minilm-like", "st-dense", "ce-msmarco"])
def test_answers_are_those_of_torch(artifact, name, backend):
    folder, data = artifact(name), PAIRS if name.startswith("ce-") else TEXTS
    theirs, ours = (
        hfspec.load(folder, backend="torch").predict(data),
        hfspec.load(folder, backend=backend).predict(data),
    )
    if hasattr(theirs, "columns"):
        assert ours["label"].tolist() == theirs["label"].tolist()
        theirs, ours = theirs["score"], ours["score"]
    assert np.abs(numbers(ours) - numbers(theirs)).max() <= TOLERANCE


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        ({}, is_faster("float32")),
        ({"dtype": "bfloat16"}, is_faster("bfloat16")),
        ({"backend": "torch"}, False),
        ({"dtype": "float16"}, False),
    ],
)
def test_what_is_taken_unasked(artifact, keys, taken):
    model = hfspec.load(artifact("bert-sentiment"), device="cpu", **keys).components()["model"]
    assert (type(model.classifier) is Linear) is taken


def test_openvino_answers_and_torch_does_not(artifact):
    predictor = hfspec.load(artifact("minilm-like"), backend="openvino")
    model = predictor._runner.encoder.model
    model.encoder.forward = None  # torch could not
    assert predictor.predict(TEXTS).shape[0] == len(TEXTS)


def test_the_layers_are_replaced_in_place_and_still_learn_and_copy(artifact):
    model = hfspec.load(artifact("bert-sentiment"), backend="onednn").components()["model"]
    linear = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    assert linear
    assert {type(module) for module in linear} == {Linear}
    values = torch.ones(2, linear[0].in_features)
    linear[0](values).sum().backward()
    assert linear[0].weight.grad is not None
    twin = copy.deepcopy(linear[0])
    with torch.no_grad():
        twin.weight.zero_()
        assert torch.equal(twin(values)[0], twin.bias)


@pytest.fixture
def layer(artifact):
    """``layer(name, kind, **keys)``: the first layer of this kind, of an artifact's model, and a batch for it."""

    def get(name, kind, **keys):
        model = hfspec.load(artifact(name), backend="onednn", **keys).components()["model"]
        found = next(module for module in model.modules() if type(module) is kind)
        return found, torch.randn(9, found.stored().shape[1], dtype=found.weight.dtype)

    return get


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "kind"), [("bert-sentiment", Linear), ("gpt2", TransposedLinear)])
def test_a_row_is_answered_alike_at_every_call_alone_or_not(layer, name, kind, dtype):
    """To the last bit: before and after the weights are put in another order, whatever else is in the batch."""
    if dtype == "bfloat16" and not is_faster("bfloat16"):
        pytest.skip("no bfloat16 on this processor")
    found, rows = layer(name, kind, dtype=dtype)
    with torch.inference_mode():
        calls = [torch.cat([found(rows[place : place + 1]) for place in range(9)]), found(rows)]
        assert found.ordered is not None
        calls += [found(rows), found(rows.view(3, 3, -1)).view(9, -1), found(rows[:2]), found(rows[8])]
    assert all(torch.equal(call, calls[0][: len(call)]) for call in calls[1:-1])
    assert torch.equal(calls[-1], calls[0][8])
    truth = rows.double() @ found.stored().double().t() + found.bias.double()
    torch.testing.assert_close(calls[0].double(), truth, atol=1e-5 if dtype == "float32" else 2e-2, rtol=1e-2)


def test_weights_changed_after_they_were_ordered_are_those_that_answer(layer):
    found, rows = layer("bert-sentiment", Linear)
    with torch.no_grad():
        for _ in range(CALLS + 1):
            found(rows)
        twin = copy.deepcopy(found)
        assert found.ordered is not None
        assert twin.ordered is None
        assert torch.equal(twin(rows), found(rows))
        before = found(rows)
        found.weight.zero_()
        assert torch.equal(found(rows), found.bias.expand(9, -1))
        assert torch.equal(twin(rows), before)
        found.weight = torch.nn.Parameter(twin.weight.clone())
        assert [torch.equal(found(rows), before) for _ in range(CALLS + 2)] == [True] * (CALLS + 2)
        assert found.ordered is not None


def test_calls_at_once_while_weights_are_ordered_find_the_same(layer):
    found, rows = layer("bert-sentiment", Linear)
    begin = Barrier(4)

    def calls(_):
        begin.wait()
        with torch.inference_mode():
            return [found(rows) for _ in range(CALLS + 20)]

    with ThreadPoolExecutor(4) as threads:
        made = [answer for answers in threads.map(calls, range(4)) for answer in answers]
    assert found.ordered is not None
    assert all(torch.equal(answer, made[0]) for answer in made)


def test_large_models_have_their_weights_once(layer, monkeypatch):
    monkeypatch.setattr(onednn, "MOST_BYTES", 1000)
    found, rows = layer("bert-sentiment", Linear)
    with torch.no_grad():
        for _ in range(CALLS + 2):
            found(rows)
    assert found.ordered is None


@pytest.mark.parametrize(("name", "layer"), [("llama-chat", Linear), ("gpt2", TransposedLinear)])
def test_a_generator_says_the_same_by_onednn(artifact, name, layer):
    theirs, ours = (hfspec.load(artifact(name), backend=backend) for backend in ("torch", "onednn"))
    assert ours.predict(TEXTS[:4]) == theirs.predict(TEXTS[:4])
    layers = [module for module in ours.components()["model"].modules() if type(module) is layer]
    assert layers
    values = torch.randn(3, 2, 32)
    learning = layers[0](values)
    with torch.no_grad():
        torch.testing.assert_close(layers[0](values), learning, atol=1e-5, rtol=1e-5)


def test_the_emitted_predictor_runs_it_and_meets_its_golden_answers(artifact, checkpoint, tmp_path):
    truth = hfspec.load(artifact("bert-sentiment"), device="cpu").predict_plain(TEXTS[:2])
    spec = {
        "spec_version": 1, "library": "transformers", "task": "text-classification", "runtime": {"backend": "onednn"},
        "model": {"path": str(checkpoint("bert-sentiment"))}, "golden": [{"input": TEXTS[:2], "output": truth}],
    }  # fmt: skip
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    made = hfspec.compile(tmp_path / "spec.yaml", output=tmp_path / "made")
    assert read_manifest(tmp_path / "made").to_json()["deployment"]["runtime"] == {"backend": "onednn"}
    assert made.digest
    model = hfspec.load(tmp_path / "made").components()["model"]
    assert type(model.classifier) is Linear


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        ("bert-sentiment", {"backend": "onnx"}, "backend must be one of auto, torch, onednn, openvino, not 'onnx'"),
        (
            "bert-sentiment",
            {"backend": "onednn", "dtype": "float16"},
            "float32 and bfloat16 weights, and these are float16",
        ),
        ("bert-sentiment", {"backend": "onednn", "device": "meta"}, "runs on the CPU; load with device='cpu'"),
        ("bert-sentiment", {"backend": "onednn", "device_map": "auto"}, "runs on the CPU; load with device='cpu'"),
        ("gpt2", {"backend": "openvino"}, "openvino does not run the task text-generation of transformers"),
    ],
)
def test_what_it_cannot_run_is_refused(artifact, name, keys, message):
    with pytest.raises(UsageError, match=message):
        hfspec.load(artifact(name), **keys)


def test_an_architecture_it_does_not_run_is_refused_at_load(build, checkpoint):
    """Its conversion may hold for the tokens that it was shown alone."""
    pytest.importorskip("openvino")
    folder = build(checkpoint("bart-mnli"), "text-classification")
    with pytest.raises(UsageError, match="it is of the type bart, and the backend runs albert, bert, camembert"):
        hfspec.load(folder, backend="openvino")


def test_what_is_not_installed_is_named_with_its_command(artifact, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UsageError, match=r"needs the package openvino; pip install 'hfspec\[openvino\]'"):
        hfspec.load(artifact("bert-sentiment"), backend="openvino")


@pytest.mark.parametrize(
    ("name", "task", "keys", "message"),
    [
        ("bert-sentiment", "text-classification", {"runtime": {"backend": "onnx"}}, "runtime.backend"),
        ("bert-sentiment", "text-classification", {"runtime": {"backend": "onednn"}, "dtype": "float16"}, "float16"),
        ("gpt2", "text-generation", {"runtime": {"backend": "openvino"}}, "does not run the task text-generation"),
        (
            "bart-mnli",
            "text-classification",
            {"runtime": {"backend": "openvino"}},
            "does not run this architecture",
        ),
    ],
)
def test_specs_that_ask_for_what_cannot_be(build, checkpoint, name, task, keys, message):
    with pytest.raises(SpecError, match=message):
        build(checkpoint(name), task, **keys)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"stride": 3, "bias": False}])
def test_convolutions_over_time_are_those_of_torch(options):
    theirs = torch.nn.Conv1d(24, 40, 3, **options)
    model = torch.nn.Sequential(copy.deepcopy(theirs), torch.nn.GELU(), torch.nn.Conv1d(40, 8, 2))
    after = copy.deepcopy(model[2])
    onednn.put(model, Namespace(dtype="float32", patches=ALL))
    assert [type(model[0]), type(model[2])] == [Convolution, Convolution]
    sounds = torch.randn(3, 24, 50)
    with torch.inference_mode():
        expected = after(torch.nn.functional.gelu(theirs(sounds)))
        for _ in range(CALLS + 2):
            torch.testing.assert_close(model(sounds), expected, atol=1e-5, rtol=1e-4)
        assert model[0].ordered is not None
        torch.testing.assert_close(model(sounds[1:2]), expected[1:2], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model[0](sounds[0]), theirs(sounds[0]), atol=1e-5, rtol=1e-4)
    model[0](sounds).sum().backward()
    assert model[0].weight.grad is not None
    with torch.inference_mode(), pytest.raises(RuntimeError, match="Kernel size can't be greater"):
        model[0](sounds[:, :, :2])


@pytest.mark.parametrize("options", [{"padding": 1}, {"dilation": 2}, {"groups": 2}, {"in_channels": 1}])
def test_other_convolutions_are_left_to_torch(options):
    layer = torch.nn.Conv1d(**{"in_channels": 24, "out_channels": 40, "kernel_size": 3, **options})
    onednn.put(torch.nn.Sequential(layer), Namespace(dtype="float32", patches=ALL))
    assert type(layer) is torch.nn.Conv1d
