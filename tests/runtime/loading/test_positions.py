"""A text is refused where the model has no more positions, and only there."""

from __future__ import annotations

import math

import pytest

import hfspec
from hfspec.errors import InputError
from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import BERT_SIZES, labels
from tests.checkpoints.writing import write

LIMIT = 32
SIZES = {**BERT_SIZES, "num_hidden_layers": 1, "max_position_embeddings": LIMIT}
DEBERTA = {**SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
NAMES = ["entailment", "neutral", "contradiction"]


def deberta(**more):
    from transformers import DebertaV2Config

    return lambda size: DebertaV2Config(vocab_size=size, position_biased_input=False, **DEBERTA, **more)


def xlnet(size):
    from transformers import XLNetConfig

    return XLNetConfig(vocab_size=size, d_model=32, n_layer=1, n_head=4, d_inner=64)


def modernbert(size):
    from transformers import ModernBertConfig

    special = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2, "eos_token_id": 3}
    return ModernBertConfig(vocab_size=size, **SIZES, **special)


def config_of(name, **sizes):
    import transformers

    return lambda size: getattr(transformers, name)(vocab_size=size, **{**SIZES, **sizes})


WITHOUT_END = {
    "deberta": deberta(),
    "deberta-buckets": deberta(position_buckets=8),
    "xlnet": xlnet,
    "modernbert": modernbert,
    "nomic-like": config_of("EsmConfig", position_embedding_type="rotary", pad_token_id=1),
}
WITH_END = {
    "bert": config_of("BertConfig"),
    "roberta": config_of("RobertaConfig", max_position_embeddings=LIMIT + 2, type_vocab_size=1, pad_token_id=1),
    "deberta-biased": config_of("DebertaV2Config", relative_attention=True, pos_att_type=["c2p", "p2c"]),
    "roformer": config_of("RoFormerConfig"),
    "nystromformer": config_of("NystromformerConfig", num_landmarks=8, segment_means_seq_len=8),
    "mpnet": config_of("MPNetConfig", max_position_embeddings=LIMIT + 2, pad_token_id=1),
}


def classifier(folder, make, stored=LIMIT, head="SequenceClassification"):
    """A checkpoint whose tokenizer was stored with the limit ``stored``."""
    import transformers

    tokenizer = vocabulary.wordpiece(stored)
    config = make(len(tokenizer))
    config.num_labels = 3
    config.id2label, config.label2id = labels(NAMES)["id2label"], labels(NAMES)["label2id"]
    write(folder, getattr(transformers, f"AutoModelFor{head}").from_config(config), tokenizer, seed=41)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory, build):
    """``made(name, task)``: (checkpoint, predictor), compiled once."""
    known = {}
    heads = {"token-classification": "TokenClassification", "fill-mask": "MaskedLM"}

    def get(name, task="text-classification", **keys):
        key = (name, task)
        if key not in known:
            folder = tmp_path_factory.mktemp("long") / name
            head = heads.get(task, "SequenceClassification")
            classifier(folder, {**WITHOUT_END, **WITH_END}[name], head=head)
            known[key] = (folder, hfspec.load(build(folder, task, **keys), verify=False))
        return known[key]

    return get


def logits(folder, text, pair=None, head="SequenceClassification"):
    """Of the model called directly."""
    import torch
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = getattr(transformers, f"AutoModelFor{head}").from_pretrained(folder).eval()
    inputs = tokenizer(text, pair, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).logits[0].float()


def text_of(tokens):
    return " ".join(["fox"] * (tokens - 2))


@pytest.mark.parametrize("name", WITHOUT_END)
def test_a_model_without_an_end_reads_any_text(made, name):
    folder, predictor = made(name)
    text = text_of(3 * LIMIT)
    truth = logits(folder, text).softmax(0)
    answer = predictor.predict([text], outputs="full")[0]
    assert answer["tokens"] == 3 * LIMIT
    assert answer["labels"][0] == NAMES[int(truth.argmax())]
    assert answer["scores"][0] == pytest.approx(float(truth.max()), abs=1e-5)


@pytest.mark.parametrize("name", WITH_END)
def test_a_model_with_an_end_refuses_beyond_it(made, name):
    folder, predictor = made(name)
    text = text_of(LIMIT)
    truth = logits(folder, text).softmax(0)
    assert predictor.predict([text], outputs="full")[0]["scores"][0] == pytest.approx(float(truth.max()), abs=1e-5)
    with pytest.raises(InputError, match=f"row 1: .*has {LIMIT + 1} tokens and the model reads at most {LIMIT};"):
        predictor.predict([text, text_of(LIMIT + 1)])


def test_truncation_cuts_where_the_tokenizer_says(made, build):
    folder, _ = made("deberta")
    predictor = hfspec.load(build(folder, "text-classification", model_config={"truncation": True}), verify=False)
    answer = predictor.predict([text_of(3 * LIMIT)], outputs="full")[0]
    assert answer["tokens"] == LIMIT
    truth = logits(folder, text_of(LIMIT)).softmax(0)
    assert answer["scores"][0] == pytest.approx(float(truth.max()), abs=1e-5)


def test_tokens_of_a_long_text_are_labelled(made):
    folder, predictor = made("deberta", "token-classification")
    text = text_of(3 * LIMIT)
    truth = logits(folder, text, head="TokenClassification").softmax(-1)[1:-1]
    found = predictor.predict([text], outputs="full")[0]["entities"]
    assert len(found) == len(truth)
    for entity, scores in zip(found, truth, strict=True):
        assert entity["score"] == pytest.approx(float(scores.max()), abs=1e-5)


def test_a_mask_after_a_long_text_is_filled(made):
    folder, predictor = made("modernbert", "fill-mask")
    text = f"{text_of(3 * LIMIT)} [MASK]"
    truth = logits(folder, text, head="MaskedLM").softmax(-1)[-2]
    best = predictor.predict([text], outputs="full")[0]["masks"][0][0]
    assert (best["token"], best["score"]) == (int(truth.argmax()), pytest.approx(float(truth.max()), abs=1e-5))


def test_labels_of_a_long_text_by_entailment(made):
    folder, predictor = made("xlnet", "zero-shot-classification")
    text = text_of(3 * LIMIT)
    found = predictor.predict({"sequences": text, "candidate_labels": ["fox", "dog"]}, outputs="full")[0]
    scores = [float(logits(folder, text, f"This example is {label}.")[0]) for label in found["labels"]]
    total = sum(math.exp(score) for score in scores)
    assert found["scores"] == pytest.approx([math.exp(score) / total for score in scores], abs=1e-5)


def test_labels_beyond_the_end_are_refused(made):
    _, predictor = made("bert", "zero-shot-classification")
    with pytest.raises(InputError, match=f"the model reads at most {LIMIT};"):
        predictor.predict({"sequences": text_of(LIMIT), "candidate_labels": ["fox", "dog"]})


@pytest.mark.parametrize("name", ["llama-chat", "gpt2"])
def test_prompts(name, checkpoint, build):
    """Rotary positions go on beyond ``max_position_embeddings``; a table of them ends."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = checkpoint(name)
    settings = {"max_new_tokens": 4, "do_sample": False}
    predictor = hfspec.load(build(folder, "text-generation", model_config=settings), verify=False)
    prompt = "the quick brown fox " * 300
    if name == "gpt2":
        with pytest.raises(InputError, match="the model reads at most 256;"):
            predictor.predict([prompt])
        return
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    inputs = tokenizer(prompt, return_tensors="pt")
    assert inputs["input_ids"].shape[1] > 256
    with torch.no_grad():
        truth = model.generate(**inputs, max_new_tokens=4, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    answer = predictor.predict([prompt], outputs="full")[0]
    assert answer["text"] == prompt + tokenizer.decode(truth, skip_special_tokens=True)


@pytest.mark.parametrize("name", ["t5", "m2m100"])
def test_answers_to_long_texts(name, checkpoint, build):
    """T5 knows distances alone, M2M100 works out as many positions as it needs."""
    import torch
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    folder = checkpoint(name)
    settings = {"max_new_tokens": 5, "num_beams": 1}
    predictor = hfspec.load(build(folder, "text2text-generation", model_config=settings), verify=False)
    text = "hello " * 200
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    inputs = tokenizer(text, return_tensors="pt")
    with torch.no_grad():
        truth = model.generate(**inputs, **settings, do_sample=False)[0]
    answer = predictor.predict([text], outputs="full")[0]
    assert (answer["prompt_tokens"], answer["text"]) == (
        inputs["input_ids"].shape[1],
        tokenizer.decode(truth, skip_special_tokens=True),
    )


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """``encoders(name)``: a checkpoint without a head."""

    def get(name):
        import transformers

        folder = tmp_path_factory.mktemp("encoders") / name
        tokenizer = vocabulary.wordpiece(LIMIT)
        model = transformers.AutoModel.from_config({**WITHOUT_END, **WITH_END}[name](len(tokenizer)))
        write(folder, model, tokenizer, seed=42)
        return folder

    return get


@pytest.mark.parametrize("task", ["feature-extraction", "llm/v1/embeddings"])
def test_states_and_embeddings_of_a_long_text(task, encoders, build):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder, text = encoders("modernbert"), text_of(3 * LIMIT)
    predictor = hfspec.load(build(folder, task, library="transformers"), verify=False)
    inputs = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**inputs).last_hidden_state[0]
    if task == "feature-extraction":
        assert predictor.predict([text]) == pytest.approx(states.numpy(), abs=1e-4)
        return
    found = predictor.predict({"input": text})["data"][0]["embedding"]
    assert found == pytest.approx(states.mean(0).tolist(), abs=1e-4)


@pytest.mark.parametrize("task", ["feature-extraction", "llm/v1/embeddings"])
def test_states_and_embeddings_end_with_the_positions(task, encoders, build):
    predictor = hfspec.load(build(encoders("bert"), task, library="transformers"), verify=False)
    text = text_of(LIMIT + 1)
    with pytest.raises(InputError, match=f"than the {LIMIT} tokens|reads at most {LIMIT};"):
        predictor.predict([text] if task == "feature-extraction" else {"input": text})
