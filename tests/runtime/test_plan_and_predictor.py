"""A plan and a predictor say the same of every setting: which value is in force, and whether hfspec itself chose it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

import hfspec
from hfspec.ir.frozen import thaw
from hfspec.settings.precedence import CHECKPOINT, HFSPEC_DEFAULT, MODEL_CONFIG, SIGNATURE

# Chosen by the predictor for the device that it is on, which no plan knows.
OF_THE_DEVICE = {"batch_tokens"}
OWN_KEYS = {"dtype", "outputs", "max_shard_size", "prompt_template"}
GENERATING = {
    "max_new_tokens": [1, 5, 40],
    "max_length": [20, 60],
    "min_length": [1, 3],
    "max_time": [60.0],
    "do_sample": [True, False],
    "temperature": [0.5, 2.0],
    "top_k": [0, 7],
    "top_p": [0.5, 1.0],
    "repetition_penalty": [1.0, 1.5],
    "seed": [0, 11],
    "truncation": [True, False],
}
CHATTING = {name: values for name, values in GENERATING.items() if name not in ("max_new_tokens", "truncation")}
CHATTING |= {"max_tokens": [1, 9]}
PARAM_TYPES = {bool: "boolean", int: "long", float: "double"}
# Checkpoint, library, task, settings to draw from, how many specs are drawn.
KINDS = [
    ("gpt2", "transformers", "text-generation", GENERATING, 6),
    ("llama-chat", "transformers", "llm/v1/chat", CHATTING, 3),
    ("t5", "transformers", "summarization", GENERATING, 4),
    ("bart", "transformers", "text2text-generation", GENERATING, 2),
    ("whisper", "transformers", "automatic-speech-recognition", {"max_new_tokens": [5], "max_length": [9]}, 2),
    ("wav2vec2-ctc", "transformers", "automatic-speech-recognition", {"chunk_length_s": [1.0]}, 1),
    ("bert-sentiment", "transformers", "text-classification", {"top_k": [1, 2], "truncation": [True]}, 2),
    ("minilm-like", "sentence-transformers", "feature-extraction", {"normalize_embeddings": [True, False]}, 2),
]
BARE = ["gpt2", "qwen-chat", "t5", "bart", "marian"]
DRAWN = [(*kind[:4], seed) for kind in KINDS for seed in range(kind[4])]


@pytest.fixture
def without_lengths(own_copy):
    """A checkpoint whose generation config says no length, as most have it."""

    def make(name: str) -> Path:
        folder = own_copy(name)
        path = folder / "generation_config.json"
        if path.exists():
            said = json.loads(path.read_text(encoding="utf-8"))
            said = {key: value for key, value in said.items() if key not in ("max_new_tokens", "max_length")}
            path.write_text(json.dumps(said), encoding="utf-8")
        return folder

    return make


def write(folder: Path, **keys: Any) -> Path:
    spec = folder / "spec.yaml"
    spec.write_text(json.dumps({"spec_version": 1, "name": "drawn", **keys}), encoding="utf-8")
    return spec


def drawn(settings: dict[str, list[Any]], seed: int) -> dict[str, Any]:
    """Some settings under model_config, others as params, each with a value of its own; nothing at all by seed 0."""
    draw = random.Random(seed)
    model_config, params = {}, {}
    for name, values in settings.items() if seed else ():
        value, where = draw.choice(values), draw.choice(["", "model_config", "params", ""])
        if where == "model_config":
            model_config[name] = value
        elif where == "params":
            params[name] = {"type": PARAM_TYPES[type(value)], "default": value}
    return {"model_config": model_config, "signature": {"params": params}}


def planned(plan: hfspec.Plan) -> dict[str, tuple[Any, str]]:
    """Setting -> value and the layer that the plan's origin stands for."""
    found = {}
    for row in plan.settings:
        name = row.key.removeprefix("signature.params.")
        if name in OWN_KEYS | OF_THE_DEVICE or "." in name:
            continue
        layer = SIGNATURE if name != row.key else MODEL_CONFIG if "spec.yaml" in row.origin else CHECKPOINT
        found[name] = (thaw(row.value), HFSPEC_DEFAULT if row.origin == HFSPEC_DEFAULT else layer)
    return found


def loaded(predictor: hfspec.Predictor) -> dict[str, tuple[Any, str]]:
    table = predictor.settings()
    return {name: tuple(inforce) for name, inforce in table.items() if name not in OF_THE_DEVICE}


@pytest.mark.parametrize(
    ("name", "library", "task", "settings", "seed"), DRAWN, ids=[f"{case[0]}-{case[4]}" for case in DRAWN]
)
def test_the_tables_are_the_same(name, library, task, settings, seed, tmp_path, without_lengths):
    model = {"path": str(without_lengths(name))}
    spec = write(tmp_path, library=library, task=task, model=model, **drawn(settings, seed))
    plan = hfspec.plan(spec)
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False)
    assert planned(plan) == loaded(hfspec.load(artifact.path))


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize("name", BARE)
def test_a_checkpoint_without_a_generation_config(name, tmp_path, own_copy):
    """transformers then takes settings from the model's config."""
    folder = own_copy(name)
    (folder / "generation_config.json").unlink()
    task = "text-generation" if name in ("gpt2", "qwen-chat") else "text2text-generation"
    spec = write(tmp_path, library="transformers", task=task, model={"path": str(folder)})
    plan = planned(hfspec.plan(spec))
    assert plan == loaded(hfspec.load(hfspec.compile(spec, output=tmp_path / "artifact", run=False).path))
    assert plan["eos_token_id"][1] == CHECKPOINT


@pytest.mark.parametrize(
    ("given", "where"),
    [({"max_length": 16}, "model_config"), ({"max_length": 16}, "load"), ({"max_length": 16}, "params"), ({}, "none")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_hfspecs_default_gives_way_to_max_length(given, where, tmp_path, without_lengths):
    """The answer is as long as transformers makes it with the same max_length, and the tables do not say otherwise."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = without_lengths("gpt2")
    keys = {"library": "transformers", "task": "text-generation", "model": {"path": str(folder)}}
    params = {"max_length": {"type": "long", "default": 16}} if where == "params" else {}
    settings = {"model_config": given if where == "model_config" else {}, "signature": {"params": params}}
    spec = write(tmp_path, **keys, **settings)
    plan = planned(hfspec.plan(spec))
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False)
    predictor = hfspec.load(artifact.path, model_config=given if where == "load" else None)
    if where != "load":
        assert plan == loaded(predictor)
    table = loaded(predictor)
    assert ("max_new_tokens" in table, "max_length" in table) == (not given, bool(given))
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    asked = tokenizer("hello world", return_tensors="pt")
    limit = given or {"max_new_tokens": model.config.n_positions - asked["input_ids"].shape[1]}
    made = model.generate(**asked, **limit, do_sample=False, pad_token_id=0)[0]
    assert predictor.predict("hello world")[0] == tokenizer.decode(made, skip_special_tokens=True)


@pytest.mark.parametrize("wrong", [0, -1, "16", 1.5, True, None])
def test_a_length_that_is_none_is_refused_by_plan(wrong, tmp_path):
    keys = {"library": "transformers", "task": "text-generation", "model": {"repo": "owner/name"}}
    problems = hfspec.validate(write(tmp_path, **keys, model_config={"max_length": wrong}))
    assert [problem.path for problem in problems] == [("model_config", "max_length")]
