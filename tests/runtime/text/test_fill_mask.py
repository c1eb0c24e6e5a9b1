"""Candidates equal those of the library's own pipeline and of the model itself, one row at a time."""

from __future__ import annotations

import json
import sys

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError, UsageError
from tests import interpreters
from tests.runtime.texts import MIXED, shuffled

MASKS = {"bert-mlm": "[MASK]", "roberta-mlm": "<mask>"}
KINDS = list(MASKS)


def masked(name):
    """Texts of mixed lengths with one mask, and two with several."""
    mask = MASKS[name]
    texts = [f"{text[: len(text) // 2]} {mask} {text[len(text) // 2 :]}" for text in MIXED]
    return [*texts, mask, f"the {mask} {mask} fox", f"{mask}, {mask} and {mask}."]


@pytest.fixture(scope="module")
def pipeline_of(checkpoint):
    from transformers import pipeline

    return lambda name, **settings: pipeline("fill-mask", str(checkpoint(name)), device="cpu", **settings)


@pytest.fixture
def filler(build, checkpoint):
    """``filler(name, **model_config)``: the predictor, with the settings given to load."""
    return lambda name, **config: hfspec.load(build(checkpoint(name), "fill-mask"), model_config=config, verify=False)


def each_mask(found):
    """The pipeline's answer with one list for each mask, whatever their number."""
    return found if isinstance(found[0], list) else [found]


def assert_candidates(answer, truth):
    assert len(answer) == len(truth)
    for mine, row in zip(answer, truth, strict=True):
        assert len(mine["masks"]) == len(row)
        for candidates, wanted in zip(mine["masks"], row, strict=True):
            assert [entry["score"] for entry in candidates] == pytest.approx(
                [entry["score"] for entry in wanted], abs=1e-5
            )
            keys = ("token", "token_str", "sequence")
            assert [[entry[key] for key in keys] for entry in candidates] == [
                [entry[key] for key in keys] for entry in wanted
            ]


@pytest.mark.parametrize("batch_tokens", [1, 64, 100_000])
@pytest.mark.parametrize("name", KINDS)
def test_every_candidate_as_the_pipeline_says(filler, pipeline_of, name, batch_tokens):
    texts = shuffled(tuple(masked(name)), seed=batch_tokens)
    pipe = pipeline_of(name, top_k=7)
    answer = filler(name, top_k=7, batch_tokens=batch_tokens).predict(texts, outputs="full")
    assert_candidates(answer, [each_mask(pipe(text)) for text in texts])


def test_the_best_token_is_the_model_s_own(filler, checkpoint):
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint("roberta-mlm"))
    model = AutoModelForMaskedLM.from_pretrained(checkpoint("roberta-mlm")).eval()
    texts = masked("roberta-mlm")
    truth, tokens = [], []
    for text in texts:
        inputs = words(text, return_tensors="pt")
        with torch.no_grad():
            best = model(**inputs).logits[0].argmax(-1)
        chosen = [words.decode([token]) for token in best[inputs["input_ids"][0] == words.mask_token_id]]
        truth.append(" ".join(word.strip() or word for word in chosen))
        tokens.append(inputs["input_ids"].shape[1])
    predictor = filler("roberta-mlm")
    assert predictor.predict(texts) == truth
    assert [row["tokens"] for row in predictor.predict(texts, outputs="full")] == tokens


def test_one_string_a_row_whatever_the_number_of_masks(filler):
    predictor = filler("bert-mlm")
    together = predictor.predict(["the [MASK] fox", "[MASK] [MASK] fox", "the [MASK] fox"])
    assert len(together) == 3
    assert together[0] == together[2]
    assert len(together[1].split()) == 2
    assert predictor.predict("[MASK] [MASK] fox") == [together[1]]
    assert predictor.predict(["the [MASK] fox"]) == [together[0]]
    assert predictor.predict([]) == []


@pytest.mark.parametrize("targets", ["dog", ["dog", "cat", "dog"], ["##s", "the", "5"]])
def test_targets_limit_the_choice(filler, pipeline_of, targets):
    texts = ["the [MASK] fox", "[MASK] and [MASK]"]
    pipe = pipeline_of("bert-mlm", targets=targets)
    predictor = filler("bert-mlm", targets=targets)
    assert_candidates(predictor.predict(texts, outputs="full"), [each_mask(pipe(text)) for text in texts])


def test_a_target_with_its_space_is_the_word_s_token(filler):
    """A byte-level vocabulary has " the" as one token, by another name."""
    (row,) = filler("roberta-mlm", targets=[" the", "a"]).predict("so <mask> fox", outputs="full")
    assert {entry["token_str"] for entry in row["masks"][0]} == {" the", "a"}


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["dog", "quokka"], "'quokka' is not one token"),
        ("two words", "'two words' is not one token"),
        (["漢"], "'漢' is not one token"),
        ([""], "'' is not one token"),
        ([], "targets is empty"),
    ],
)
def test_a_target_that_no_mask_can_stand_for_is_refused(filler, targets, words):
    with pytest.raises(ParamsError, match=words):
        filler("bert-mlm", targets=targets).predict("the [MASK] fox")


def test_settings_out_of_their_limits_are_refused(filler):
    with pytest.raises(ParamsError, match="top_k: expected integer, at least 1"):
        filler("bert-mlm", top_k=0)
    with pytest.raises(ParamsError, match="targets"):
        filler("bert-mlm", targets=[5])


def test_more_candidates_than_words_are_all_of_them(filler, checkpoint):
    from transformers import AutoTokenizer

    (row,) = filler("bert-mlm", top_k=100_000).predict("[MASK]", outputs="full")
    assert len(row["masks"][0]) == len(AutoTokenizer.from_pretrained(checkpoint("bert-mlm")))


@pytest.mark.parametrize("text", ["the fox", "", "5", "None", "[mask]"])
def test_a_text_without_a_mask_is_refused_by_its_row(filler, text):
    with pytest.raises(InputError, match=r"row 1: the text has no mask token; put \[MASK\]") as caught:
        filler("bert-mlm").predict(["the [MASK] fox", text])
    assert caught.value.row == 1


def test_long_texts(filler, pipeline_of):
    early, late = "[MASK] " + "a " * 200, "a " * 200 + "[MASK]"
    with pytest.raises(InputError, match="row 0: the text has 203 tokens and the model reads at most 128"):
        filler("bert-mlm").predict([early])
    cutting = filler("bert-mlm", truncation=True)
    truth = pipeline_of("bert-mlm", tokenizer_kwargs={"truncation": True})(early)
    assert_candidates(cutting.predict([early], outputs="full"), [[truth]])
    with pytest.raises(InputError, match=r"row 1: the mask token \[MASK\] is beyond the 128 tokens"):
        cutting.predict([early, late])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["[MASK]", None], "row 1.*missing"),
        (["[MASK]", 3.5], "row 1.*expected text"),
        (None, "expected text"),
        ({"prompt": "[MASK]"}, "'text' is missing"),
        ([["[MASK]", "b"]], "row 0"),
    ],
)
def test_bad_input_is_refused(filler, data, words):
    with pytest.raises(InputError, match=words):
        filler("bert-mlm").predict(data)


def test_every_form_of_input_means_the_same(filler):
    import pandas as pd

    texts = ["the [MASK] fox", "a '[MASK]'", "[MASK] [MASK]"]
    predictor = filler("bert-mlm")
    truth = predictor.predict(texts)
    frame = pd.DataFrame({"id": ["[MASK]", "y", "z"], "text": texts})
    forms = [{"text": texts}, [{"text": text} for text in texts], frame, pd.Series(texts)]
    assert [predictor.predict(form) for form in forms] == [truth] * len(forms)


def test_a_prompt_template_may_bring_the_mask(build, checkpoint, pipeline_of):
    folder = build(checkpoint("bert-mlm"), "fill-mask", prompt_template="{prompt} is a [MASK] film")
    pipe = pipeline_of("bert-mlm")
    answer = hfspec.load(folder).predict(["it", "{x}"], outputs="full")
    assert_candidates(answer, [[pipe("it is a [MASK] film")], [pipe("{x} is a [MASK] film")]])


def test_a_declared_param_is_the_caller_s(build, checkpoint):
    folder = build(checkpoint("bert-mlm"), "fill-mask", signature={"params": {"top_k": 2, "targets": "dog"}})
    predictor = hfspec.load(folder)
    (row,) = predictor.predict("[MASK]", params={"targets": "cat"}, outputs="full")
    assert [entry["token_str"] for entry in row["masks"][0]] == ["cat"]
    with pytest.raises(ParamsError, match="'quokka' is not one token"):
        predictor.predict("[MASK]", params={"targets": "quokka"})


def test_the_artifact_s_own_command_answers_json(build, checkpoint, pipeline_of):
    folder = build(checkpoint("roberta-mlm"), "fill-mask")
    done = interpreters.run(
        [sys.executable, folder / "predictor.py", "--json", "-", "--outputs", "full"],
        input=json.dumps({"text": "so <mask> fox"}),
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert_candidates(json.loads(done.stdout), [[pipeline_of("roberta-mlm")("so <mask> fox")]])


def test_a_checkpoint_without_a_language_model_head_is_refused(checkpoint, build):
    with pytest.raises(SpecError, match="says that the checkpoint is a BertForTokenClassification"):
        build(checkpoint("bert-ner"), "fill-mask")


def test_a_tokenizer_without_a_mask_is_refused(build, tmp_path, checkpoint):
    import shutil

    from tests.checkpoints import vocabulary

    folder = shutil.copytree(checkpoint("roberta-mlm"), tmp_path / "maskless")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    vocabulary.gpt2(128).save_pretrained(folder)
    with pytest.raises(UsageError, match="no mask token"):
        hfspec.load(build(folder, "fill-mask"))


@pytest.mark.parametrize("name", KINDS)
def test_the_vocabulary_is_scored_at_the_masks_alone(filler, name):
    predictor = filler(name)
    seen = []
    head = predictor.components()["model"].get_output_embeddings()
    texts = masked(name)
    predictor.predict(texts)  # the model has been tried
    head.register_forward_hook(lambda layer, given, scores: seen.append(scores.shape[:-1].numel()))
    predictor.predict(texts)
    assert sum(seen) == sum(text.count(MASKS[name]) for text in texts)


def test_a_last_layer_that_needs_every_token_gets_them_all(filler, monkeypatch):
    predictor = filler("bert-mlm")
    texts = masked("bert-mlm")
    truth = predictor.predict(texts)
    other = filler("bert-mlm")
    model = other.components()["model"]
    plain = model.forward

    def shaped(**inputs):
        found = plain(**inputs)
        found.logits = found.logits.reshape(*inputs["input_ids"].shape, -1)
        return found

    monkeypatch.setattr(model, "forward", shaped)
    assert other.predict(texts) == truth
