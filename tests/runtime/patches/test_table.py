"""What hfspec computes in a library's place is tried at every load, and is off where it does not agree."""

from __future__ import annotations

import json
import logging
from importlib import import_module

import pytest
import torch

import hfspec
from hfspec.errors import UsageError
from hfspec.runtime.backends import onednn, onednn_layers, t5
from hfspec.runtime.command import main
from hfspec.runtime.generation import decoding, roomy_cache
from hfspec.runtime.patches.table import PATCHES
from tests.runtime.texts import close

TEXTS = ["the house on the hill", "a fine old film about nothing at all", "no"]
GREEDY = {"model_config": {"max_new_tokens": 6, "do_sample": False}}
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


@pytest.fixture(scope="module")
def seq2seq(build, checkpoint):
    return build(checkpoint("t5"), "summarization", **GREEDY)


@pytest.fixture
def folder(artifact, seq2seq):
    return lambda name: seq2seq if name == "t5" else artifact(name, **(GREEDY if name == "gpt2" else {}))


def states(predictor):
    return {name: state.on for name, state in predictor.patches.items()}


@pytest.mark.parametrize("name", ["bert-sentiment", "gpt2", "t5", "minilm-like", "whisper", "wav2vec2-ctc"])
def test_answers_without_any_are_the_same(folder, name):
    on, off = (hfspec.load(folder(name), backend="onednn", patches=asked) for asked in ("all", "none"))
    assert set(on.patches) == set(off.patches) == set(PATCHES)
    assert states(on)["onednn"] == ONEDNN
    assert states(on)["decoding"] == states(on)["roomy-cache"] == (name in ("gpt2", "t5"))
    assert states(on)["t5-steps"] == (name == "t5" and ONEDNN)
    assert not any(states(off).values())
    assert all("patches='none'" in state.why for state in off.patches.values())
    layers = {type(module).__module__ for module in off.components()["model"].modules()}
    assert not any(module.startswith("hfspec") for module in layers)
    if name not in ("whisper", "wav2vec2-ctc"):
        assert off.predict_json(TEXTS) == close(on.predict_json(TEXTS))


def wrong(patch):
    """A function that gives something else, and where to put it."""
    return {
        "onednn": (onednn_layers, "_product", lambda values, weight, bias: onednn.torch.ones(1)),
        "t5-steps": (t5, "step", lambda stack, layers, distances, given: type(stack).forward(stack, **given)),
        "decoding": (decoding.Rows, "whole", lambda rows: rows.ids * 0),
        "roomy-cache": (roomy_cache.RoomyLayer, "_has_room", lambda layer, total: 1 / 0),
    }[patch]


def failing(*_, **__):
    raise RuntimeError("the library has changed")


@pytest.mark.parametrize("kind", ["wrong", "failing"])
@pytest.mark.parametrize(
    ("patch", "name"),
    [
        ("onednn", "bert-sentiment"),
        ("t5-steps", "t5"),
        ("decoding", "gpt2"),
        ("roomy-cache", "gpt2"),
        ("decoding", "t5"),
    ],
)
def test_a_patch_that_fails_its_trial_is_off_and_says_so_once(folder, monkeypatch, caplog, patch, name, kind):
    if patch in ("onednn", "t5-steps") and not ONEDNN:
        pytest.skip("torch without oneDNN")
    expected = hfspec.load(folder(name), backend="torch", patches="none").predict_json(TEXTS)
    place, attribute, function = wrong(patch)
    if kind == "wrong" and patch == "t5-steps":
        ours = t5.step

        def function(*given):
            made = ours(*given)
            return type(made)(last_hidden_state=made.last_hidden_state * 1.01, past_key_values=made.past_key_values)

    monkeypatch.setattr(place, attribute, failing if kind == "failing" else function)
    with caplog.at_level(logging.WARNING, logger="hfspec"):
        predictor = hfspec.load(folder(name), backend="onednn")
    said = [record.getMessage() for record in caplog.records if record.name == "hfspec"]
    assert len(said) == 1
    assert f"the patch {patch} is off" in said[0]
    assert "\n" not in said[0]
    assert not states(predictor)[patch]
    assert predictor.patches[patch].why in said[0]
    assert predictor.predict_json(TEXTS) == close(expected)


@pytest.mark.parametrize("library", ["torch", "transformers"])
@pytest.mark.parametrize("version", ["1.0.0", "99.1.0+local", "99.0.0.dev0"])
def test_none_is_applied_to_versions_that_it_was_not_tested_with(folder, monkeypatch, caplog, library, version):
    monkeypatch.setattr(import_module(library), "__version__", version)
    with caplog.at_level(logging.WARNING, logger="hfspec"):
        predictor = hfspec.load(folder("gpt2"), backend="onednn")
    assert not any(states(predictor).values())
    assert version in predictor.patches["decoding"].why
    assert not [record for record in caplog.records if record.name == "hfspec"]
    assert len(predictor.predict(TEXTS)) == len(TEXTS)


def test_what_a_load_was_asked_for_and_what_it_found_cannot_be_changed(folder):
    """A caller that changes the table changes a copy, and two loads share nothing."""
    one, other = hfspec.load(folder("gpt2")), hfspec.load(folder("gpt2"), patches="none")
    expected = one.patches
    assert expected["decoding"].on
    assert not other.patches["decoding"].on
    one.patches.clear()
    assert one.patches == expected
    assert set(expected) == set(PATCHES)
    with pytest.raises(TypeError):
        one._runner.loaded.patches["decoding"] = other.patches["decoding"]
    assert one._runner.request.patches == "all"


@pytest.mark.parametrize("asked", ["", "some", "None", "onednn", 3])
def test_what_is_no_choice_is_refused(folder, asked):
    with pytest.raises(UsageError, match="patches must be one of all, none"):
        hfspec.load(folder("bert-sentiment"), patches=asked)


@pytest.mark.parametrize(("asked", "code"), [("none", 0), ("all", 0), ("some", 2)])
def test_the_command_line_switches_them_off(folder, monkeypatch, capfd, asked, code):
    loaded = []
    monkeypatch.setattr(
        "hfspec.runtime.load.load",
        lambda *given, load=hfspec.load, **options: loaded.append(load(*given, **options)) or loaded[-1],
    )
    assert main(folder("gpt2"), ["a fine film", "--patches", asked]) == code
    if code == 0:
        assert json.loads(capfd.readouterr().out) == hfspec.load(folder("gpt2"), patches=asked).predict_json(
            "a fine film"
        )
        assert any(states(loaded[0]).values()) == (asked == "all")


@pytest.mark.parametrize(("found", "expected"), [("AVX512", True), ("AVX2", False), ("DEFAULT", False)])
def test_auto_goes_by_instructions_and_says_what_was_taken(folder, monkeypatch, found, expected):
    """Whoever made the processor."""
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: found)
    onednn.is_faster.cache_clear()
    try:
        predictor = hfspec.load(folder("bert-sentiment"))
    finally:
        onednn.is_faster.cache_clear()
    assert states(predictor)["onednn"] == (expected and ONEDNN)
    if not expected:
        assert found in predictor.patches["onednn"].why
