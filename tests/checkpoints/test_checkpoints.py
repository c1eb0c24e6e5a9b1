"""The tiny checkpoints are what the other tests believe they are."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import pytest

from tests.checkpoints import MAKERS

TEXTS = ["a fine film", "an awful, boring plot", "", "Ünïcode 漢字 🎬", "hello " * 40]
CLASSIFIERS = [
    "bert-sentiment",
    "bert-toxic",
    "bert-regression",
    "roberta-stsb",
    "roberta-mnli",
    "bart-mnli",
    "bert-nli",
]
GENERATORS = ["gpt2", "gpt2-sharded", "llama-chat", "qwen-chat", "phi3-chat", "dialogpt", "dolly"]


def digest(folder):
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        total.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def loaded(auto_class, folder):
    model, info = auto_class.from_pretrained(folder, output_loading_info=True)
    assert not any(info.values()), info
    return model.eval()


def test_same_bytes_in_another_process(tmp_path, checkpoint):
    here = {name: digest(checkpoint(name)) for name in MAKERS if name != "pickle-only"}
    code = (
        "import sys, pathlib\nfrom tests.checkpoints import make\n"
        "for name in sys.argv[2:]: make(name, pathlib.Path(sys.argv[1]) / name)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there"), *here], check=True, capture_output=True)
    assert here == {name: digest(tmp_path / "there" / name) for name in here}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_classifiers_load_whole_and_tell_texts_apart(name, checkpoint):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint(name))
    model = loaded(AutoModelForSequenceClassification, checkpoint(name))
    assert len(tokenizer) == model.config.vocab_size
    with torch.no_grad():
        logits = [model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS]
        pair = model(**tokenizer("a fine film", "a bad film", return_tensors="pt")).logits
    assert logits[0].shape == (1, model.config.num_labels)
    assert all((logits[0] - other).abs().max() > 0.05 for other in [*logits[1:], pair])


@pytest.mark.parametrize("name", GENERATORS)
def test_generators_load_whole_and_tell_prompts_apart(name, checkpoint):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint(name))
    model = loaded(AutoModelForCausalLM, checkpoint(name))
    assert len(tokenizer) == model.config.vocab_size
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text
    prompts = ["the quick brown", "hello world, this"]
    answers = [
        tokenizer.decode(model.generate(**tokenizer(prompt, return_tensors="pt"), max_new_tokens=6, do_sample=False)[0])
        for prompt in prompts
    ]
    assert answers[0].split()[-1] != answers[1].split()[-1]


def test_llama_has_bos_and_a_chat_template(checkpoint):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint("llama-chat"))
    assert tokenizer("hello")["input_ids"][0] == tokenizer.bos_token_id
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == "<s><|user|>\nhi</s>\n<|assistant|>\n"


def test_gpt2_has_no_pad_token(checkpoint):
    from transformers import AutoTokenizer

    assert AutoTokenizer.from_pretrained(checkpoint("gpt2")).pad_token is None


def test_sharded_in_three(checkpoint):
    index = json.loads((checkpoint("gpt2-sharded") / "model.safetensors.index.json").read_text())
    assert len(set(index["weight_map"].values())) == 3


@pytest.mark.parametrize(("name", "dimension"), [("minilm-like", 32), ("st-dense", 24)])
def test_embedders(name, dimension, checkpoint):
    import numpy as np
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(checkpoint(name)), device="cpu")
    embeddings = model.encode(TEXTS)
    assert embeddings.shape == (len(TEXTS), dimension)
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    similarity = embeddings @ embeddings.T
    assert (similarity - np.eye(len(TEXTS))).max() < 0.999
    if name == "st-dense":
        assert model.max_seq_length == 32
        assert model.prompts["query"] == "query: "
        assert not np.allclose(model.encode("fox", prompt_name="query"), model.encode("fox"), atol=0.01)


def test_defects_are_the_named_ones(checkpoint):
    from safetensors import SafetensorError, safe_open

    def names(name):
        with safe_open(checkpoint(name) / "model.safetensors", "pt") as file:
            return {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118

    good = names("bert-sentiment")
    assert set(good) - set(names("without-head")) == {
        "classifier.bias",
        "classifier.weight",
        "pre_classifier.bias",
        "pre_classifier.weight",
    }
    assert names("wrong-head-shape")["classifier.weight"] == [5, 32] != good["classifier.weight"]
    with pytest.raises(SafetensorError):
        names("truncated-weights")
    assert not (checkpoint("pickle-only") / "model.safetensors").exists()
    assert not (checkpoint("no-tokenizer") / "tokenizer.json").exists()


def test_enlarged_vocabulary(checkpoint):
    from transformers import AutoConfig, AutoTokenizer

    folder = checkpoint("vocab-larger-than-embedding")
    assert len(AutoTokenizer.from_pretrained(folder)) == AutoConfig.from_pretrained(folder).vocab_size + 7


def test_restricted_pickle_loader_reads_it(checkpoint):
    import torch

    tensors = torch.load(checkpoint("pickle-only") / "pytorch_model.bin", weights_only=True)
    assert "classifier.weight" in tensors
