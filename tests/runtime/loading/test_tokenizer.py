"""Tokenizers that are written in Python only: what they cannot tell is refused by plan, the rest is the model's own."""

from __future__ import annotations

import json

import pytest

import hfspec
from hfspec.errors import SpecError
from tests.checkpoints.embedders import modules, pooling, write_json
from tests.checkpoints.writing import write

WORDS = ["the", "quick", "brown", "fox", "dog"]
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 66,
    "type_vocab_size": 1,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
}
TEXT = "the quick fox the foxdog"
TAGS = {"id2label": {0: "O", 1: "B-X", 2: "I-X"}, "label2id": {"O": 0, "B-X": 1, "I-X": 2}}


def phobert(folder):
    """The tokenizer of PhoBERT, over a few words and letters."""
    from transformers import PhobertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(set("".join(WORDS)))
    entries = [*WORDS, *(f"{letter}@@" for letter in letters), *letters]
    (folder / "vocab.txt").write_text("".join(f"{entry} 1\n" for entry in dict.fromkeys(entries)))
    merges = ["t h 9", "th e</w> 9", "f o 9", "fo x</w> 9"]
    (folder / "bpe.codes").write_text("\n".join(merges) + "\n")
    return PhobertTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"), model_max_length=64)


def checkpoint_of(folder, head, **config):
    import transformers

    tokenizer = phobert(folder)
    made = transformers.RobertaConfig(vocab_size=len(tokenizer), **SIZES, **config)
    write(folder, getattr(transformers, f"Roberta{head}")(made), tokenizer, seed=51)
    return folder


def output(folder, text, head, pair=None):
    """What the model itself answers."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert not tokenizer.is_fast
    model = getattr(transformers, f"Roberta{head}").from_pretrained(folder).eval()
    inputs = tokenizer(text, pair, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs)[0][0].float()


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return checkpoint_of(tmp_path_factory.mktemp("python") / "tagger", "ForTokenClassification", **TAGS)


def test_tokens_are_labelled(tagger, build):
    predictor = hfspec.load(build(tagger, "token-classification"), verify=False)
    truth = output(tagger, TEXT, "ForTokenClassification").softmax(-1)[1:-1]
    found = predictor.predict([TEXT], outputs="full")[0]["entities"]
    best = [float(scores.max()) for scores in truth if int(scores.argmax()) != 0]  # O is left out
    assert [entity["score"] for entity in found] == pytest.approx(best, abs=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"aggregation_strategy": "first"},
        {"aggregation_strategy": "average"},
        {"aggregation_strategy": "max"},
        {"aggregation_strategy": "simple", "stride": 4},
    ],
    ids=str,
)
def test_what_needs_words_is_refused_by_plan(tagger, tmp_path, settings):
    refused(tmp_path, tagger, "token-classification", "written in Python only", model_config=settings)


def test_questions_are_refused_by_plan(tmp_path):
    folder = checkpoint_of(tmp_path / "qa", "ForQuestionAnswering")
    refused(tmp_path, folder, "question-answering", "which characters a token is made of")


def refused(tmp_path, folder, task, words, **keys):
    spec = {"spec_version": 1, "library": "transformers", "task": task, "model": {"path": str(folder)}, **keys}
    file = tmp_path / "spec.yaml"
    file.write_text(json.dumps(spec))
    with pytest.raises(SpecError, match=words):
        hfspec.plan(file)


def test_masks_are_filled(build, tmp_path):
    folder = checkpoint_of(tmp_path / "mlm", "ForMaskedLM")
    predictor = hfspec.load(build(folder, "fill-mask"), verify=False)
    truth = output(folder, "the <mask> fox", "ForMaskedLM").softmax(-1)[2]
    best = predictor.predict(["the <mask> fox"], outputs="full")[0]["masks"][0][0]
    assert (best["token"], best["score"]) == (int(truth.argmax()), pytest.approx(float(truth.max()), abs=1e-5))


def test_pairs_are_ranked(build, tmp_path):
    folder = checkpoint_of(tmp_path / "ranker", "ForSequenceClassification", num_labels=1)
    predictor = hfspec.load(build(folder, "text-ranking"), verify=False)
    scores = [float(output(folder, "the fox", "ForSequenceClassification", pair).sigmoid()) for pair in WORDS]
    found = predictor.predict({"query": ["the fox"], "documents": [WORDS]})
    assert list(found) == pytest.approx(scores, abs=1e-5)


def test_a_sentence_model_may_ask_for_lower_case(build, tmp_path):
    """sentence-transformers sets ``do_lower_case``, which this tokenizer does not look at."""
    folder = checkpoint_of(tmp_path / "sentences", "Model")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 50, "do_lower_case": True})
    modules(folder, ["Transformer", "Pooling"])
    pooling(folder, "mean_tokens")
    predictor = hfspec.load(build(folder, "feature-extraction"), verify=False)
    truth = output(folder, "The quick FOX", "Model").mean(0)
    assert predictor.predict(["The quick FOX"])[0] == pytest.approx(truth.numpy(), abs=1e-5)
