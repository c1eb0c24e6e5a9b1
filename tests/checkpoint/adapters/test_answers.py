"""What an artifact with an adapter answers is what ``PeftModel.from_pretrained`` answers, to the last bit."""

from __future__ import annotations

import json
import shutil
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoTokenizer

import hfspec
from tests.checkpoints.adapters import ADAPTERS

pytestmark = pytest.mark.filterwarnings("ignore:Position ids are not supported:UserWarning")
TEXTS = ["hello there, what a fine film", "a film", "the worst of all the days I have seen in a long time"]
# Adapter -> task, for models that read texts and answer with scores.
SCORING = {
    "sentiment-lora": "text-classification",
    "toxic-prompt": "text-classification",
    "topics-lora": "text-classification",
    "ner-lora": "token-classification",
    "squad-lora": "question-answering",
    "mlm-lora": "fill-mask",
}
WRITING = {
    **{name: "text-generation" for name in ADAPTERS if name.startswith(("gpt2", "llama"))},
    "t5-lora": "text2text-generation",
    "t5-prompt": "text2text-generation",
    "bart-prefix": "summarization",
}


def tokenized(checkpoint, name, text):
    return AutoTokenizer.from_pretrained(checkpoint(ADAPTERS[name][0]))(text, return_tensors="pt")


@pytest.fixture
def loaded(spec_with, tmp_path):
    def get(name, task, **keys):
        return hfspec.load(hfspec.compile(spec_with(name, task, **keys), output=tmp_path / "artifact").path)

    return get


@pytest.mark.parametrize("name", SCORING)
def test_the_same_scores(name, loaded, directly, checkpoint):
    predictor = loaded(name, SCORING[name])
    theirs, ours = directly(name), predictor.components()["model"]
    with torch.inference_mode():
        for text in TEXTS:
            inputs = tokenized(checkpoint, name, text)
            mine, peft = ours(**inputs), theirs(**inputs)
            assert all(torch.equal(mine[key], peft[key]) for key in peft if key.endswith("logits"))


def test_the_scores_of_a_row_are_those_of_the_model(loaded, directly, checkpoint):
    name = "topics-lora"
    answers = loaded(name, "text-classification", model_config={"top_k": None}).predict(TEXTS, outputs="full")
    with torch.inference_mode():
        for text, answer in zip(TEXTS, answers, strict=True):
            scores = directly(name)(**tokenized(checkpoint, name, text)).logits.softmax(-1)[0]
            assert answer["scores"] == pytest.approx(sorted(scores.tolist(), reverse=True), abs=1e-6)
            assert sorted(answer["labels"]) == [f"LABEL_{number}" for number in range(5)]


@pytest.mark.parametrize("name", WRITING)
def test_the_same_texts(name, loaded, directly, checkpoint):
    settings = {"max_new_tokens": 8, "num_beams": 1, "do_sample": False}
    settings |= {"min_length": 0, "no_repeat_ngram_size": 0} if name == "bart-prefix" else {}
    predictor = loaded(name, WRITING[name], model_config=settings)
    theirs, words = directly(name), AutoTokenizer.from_pretrained(checkpoint(ADAPTERS[name][0]))
    with torch.inference_mode():
        rows = predictor.predict(TEXTS, outputs="full")
        for text, row in zip(TEXTS, rows, strict=True):
            whole = getattr(theirs.config, "prefix", None) or ""
            inputs = words(whole + text, return_tensors="pt")
            made = theirs.generate(**inputs, **settings, pad_token_id=words.pad_token_id or 0)[0]
            assert words.decode(made, skip_special_tokens=True) == row["text"]


def test_the_adapter_changes_the_answers(loaded, checkpoint, spec_with, tmp_path):
    """The comparisons above would hold for an adapter that is never applied, were it without effect."""
    with_adapter = loaded("sentiment-lora", "text-classification").predict(TEXTS)
    bare = spec_with("sentiment-lora", "text-classification", adapter=None)
    without = hfspec.load(hfspec.compile(bare, output=tmp_path / "bare").path).predict(TEXTS)
    assert (with_adapter["score"] - without["score"]).abs().max() > 1e-3


def test_moved_and_with_the_sources_gone(own_adapter, spec_with, tmp_path, checkpoint, directly):
    own = own_adapter("gpt2-lora")
    spec = spec_with("gpt2-lora", "text-generation", on_adapter={"path": str(own)})
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    shutil.rmtree(own)
    moved = shutil.move(artifact.path, tmp_path / "elsewhere")
    inputs = tokenized(checkpoint, "gpt2-lora", TEXTS[0])
    with torch.inference_mode():
        mine = hfspec.load(moved).components()["model"](**inputs).logits
        assert torch.equal(mine, directly("gpt2-lora")(**inputs).logits)
    assert str(tmp_path) not in "".join(
        path.read_text(errors="replace") for path in (moved / "adapter").iterdir() if path.suffix == ".json"
    )
    sources = {source["role"]: source for source in json.loads((moved / "artifact.json").read_text())["sources"]}
    assert (sources["adapter"]["kind"], sources["adapter"]["location"]) == ("path", "gpt2-lora")


@pytest.mark.parametrize("name", ["gpt2-prompt", "t5-prompt"])
def test_calls_at_once_do_not_mix_their_prompts(name, loaded):
    predictor = loaded(name, WRITING[name], model_config={"max_new_tokens": 4, "num_beams": 1, "do_sample": False})
    alone = predictor.predict(TEXTS)
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: predictor.predict(TEXTS), range(40)))
    assert answers == [alone] * 40


def test_nothing_is_said_of_inputs_that_a_prompt_drops(loaded):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded("gpt2-prompt", "text-generation").predict(TEXTS[0], outputs="full")
