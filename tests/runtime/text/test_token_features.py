"""Hidden states equal those of the model itself, one row at a time."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError, SpecError
from tests import interpreters
from tests.runtime.texts import MIXED, PLAIN, shuffled

KINDS = ["distilbert-mlm", "bert-mlm", "roberta-mlm", "bart-mnli", "gpt2"]


@pytest.fixture(scope="module")
def alone(checkpoint):
    """``alone(name)``: the library's own model as text -> last hidden state (tokens, hidden), and its tokenizer."""

    def get(name):
        import torch
        from transformers import AutoModel, AutoTokenizer

        words = AutoTokenizer.from_pretrained(checkpoint(name))
        model = AutoModel.from_pretrained(checkpoint(name), dtype=torch.float32).eval()

        def states(text, **options):
            with torch.no_grad():
                return model(**words(text, return_tensors="pt", **options)).last_hidden_state[0].numpy()

        return states, words

    return get


@pytest.fixture
def extractor(build, checkpoint):
    """``extractor(name, **keys)``: the predictor of an artifact from a spec with these keys."""

    def get(name, **keys):
        return hfspec.load(build(checkpoint(name), "feature-extraction", library="transformers", **keys), verify=False)

    return get


def assert_states(answer, truth):
    assert len(answer) == len(truth)
    for mine, states in zip(answer, truth, strict=True):
        assert mine.dtype == np.float32
        assert mine.shape == states.shape
        np.testing.assert_allclose(mine, states, atol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_every_state_as_the_model_says(extractor, alone, name):
    states, _ = alone(name)
    for batch_tokens in (1, 64, 100_000):
        texts = [text for text in shuffled(MIXED, seed=batch_tokens) if text or name != "gpt2"]
        predictor = extractor(name, model_config={"batch_tokens": batch_tokens})
        assert_states(predictor.predict(texts), [states(text) for text in texts])


def test_as_the_library_s_pipeline_says(extractor, checkpoint):
    from transformers import pipeline

    pipe = pipeline("feature-extraction", str(checkpoint("distilbert-mlm")), device="cpu")
    answer = extractor("distilbert-mlm").predict(list(MIXED))
    assert_states(answer, [np.array(pipe(text)[0], np.float32) for text in MIXED])


def test_a_batch_answers_every_text_and_one_text_is_one_array(extractor, alone):
    states, _ = alone("distilbert-mlm")
    predictor = extractor("distilbert-mlm")
    three = predictor.predict([PLAIN, "a longer text than that", PLAIN])
    assert isinstance(three, list)
    assert_states(three, [states(PLAIN), states("a longer text than that"), states(PLAIN)])
    for one in (PLAIN, [PLAIN], {"text": PLAIN}):
        assert_states([predictor.predict(one)], [states(PLAIN)])
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


@pytest.mark.parametrize("name", ["bert-mlm", "roberta-mlm"])
def test_the_full_form_says_which_token_each_state_is_of(extractor, alone, name):
    states, words = alone(name)
    texts = [PLAIN, "Ünïcode naïve"]
    answer = extractor(name).predict(texts, outputs="full")
    assert_states([row["features"] for row in answer], [states(text) for text in texts])
    for text, row in zip(texts, answer, strict=True):
        encoded = words(text, return_offsets_mapping=True)
        assert row["tokens"] == words.convert_ids_to_tokens(encoded["input_ids"])
        assert [tuple(pair) for pair in row["offsets"]] == encoded["offset_mapping"]


def test_an_empty_text_without_special_tokens_has_no_states(extractor, alone):
    states, _ = alone("gpt2")
    predictor = extractor("gpt2")
    assert predictor.predict("").shape == (0, 32)
    answer = predictor.predict(["", PLAIN, ""])
    assert [row.shape[0] for row in answer] == [0, len(states(PLAIN)), 0]
    assert_states(answer[1:2], [states(PLAIN)])


def test_the_signature_says_what_comes_out(extractor):
    predictor = extractor("bert-mlm")
    assert predictor.signature.outputs.to_json() == {"dtype": "float32", "shape": [-1, -1]}


def test_a_narrower_dtype_answers_float32(extractor, alone):
    states, _ = alone("bert-mlm")
    answer = extractor("bert-mlm", dtype="bfloat16").predict(PLAIN)
    assert answer.dtype == np.float32
    assert 1e-4 < np.abs(answer - states(PLAIN)).max() < 0.5


def test_a_prompt_template_goes_around_each_text(extractor, alone):
    states, _ = alone("bert-mlm")
    answer = extractor("bert-mlm", prompt_template="query: {prompt}").predict(["a", "{b}"])
    assert_states(answer, [states("query: a"), states("query: {b}")])


def test_long_texts(extractor, alone):
    states, _ = alone("roberta-mlm")
    long = "a " * 150
    with pytest.raises(InputError, match=r"row 1: the text has \d+ tokens and the model reads at most 128"):
        extractor("roberta-mlm").predict([PLAIN, long])
    answer = extractor("roberta-mlm", model_config={"truncation": True}).predict([PLAIN, long])
    assert_states(answer, [states(PLAIN), states(long, truncation=True, max_length=128)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["a", None], "row 1.*missing"),
        (["a", 1], "row 1.*expected text"),
        (5, "expected text"),
        ({"texts": "a"}, "did you mean 'texts' to be 'text'"),
        ([["a"]], "row 0"),
    ],
)
def test_bad_input_is_refused(extractor, data, words):
    with pytest.raises(InputError, match=words):
        extractor("bert-mlm").predict(data)


@pytest.mark.parametrize("text", ["5", "None", "'quoted'", "[1, 2]"])
def test_text_is_never_evaluated(extractor, alone, text):
    states, _ = alone("bert-mlm")
    assert_states([extractor("bert-mlm").predict(text)], [states(text)])


def test_frames_are_read_by_name(extractor):
    import pandas as pd

    predictor = extractor("bert-mlm")
    frame = pd.DataFrame({"id": ["x", "y"], "text": [PLAIN, "b"]})
    truth = predictor.predict([PLAIN, "b"])
    for form in (frame, frame["text"], frame[["text"]].rename(columns={"text": "content"})):
        assert_states(predictor.predict(form), truth)


def test_the_artifact_s_own_command_answers_json(build, checkpoint, alone):
    states, _ = alone("bert-mlm")
    folder = build(checkpoint("bert-mlm"), "feature-extraction", library="transformers")
    done = interpreters.run(
        [sys.executable, folder / "predictor.py", PLAIN, "b", "--outputs", "full"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert_states([np.array(row["features"], np.float32) for row in answer], [states(PLAIN), states("b")])
    assert answer[1]["tokens"] == ["[CLS]", "b", "[SEP]"]


@pytest.mark.parametrize("architecture", ["T5", "Marian"])
def test_an_encoder_decoder_that_needs_a_second_text_answers_with_its_encoder(build, tmp_path, architecture):
    import torch
    import transformers

    from tests.checkpoints import vocabulary
    from tests.checkpoints.writing import write

    words = vocabulary.wordpiece(64)
    sizes = {
        "T5": {"d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4},
        "Marian": {
            "encoder_layers": 2,
            "decoder_layers": 2,
            "encoder_attention_heads": 4,
            "decoder_attention_heads": 4,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            "max_position_embeddings": 64,
            "pad_token_id": 0,
            "decoder_start_token_id": 0,
        },
    }
    config = getattr(transformers, f"{architecture}Config")(vocab_size=len(words), d_model=32, **sizes[architecture])
    made = getattr(transformers, f"{architecture}Model")(config)
    write(tmp_path / architecture, made, words, seed=42)
    predictor = hfspec.load(build(tmp_path / architecture, "feature-extraction", library="transformers"))
    encoder = made.get_encoder().eval()
    with torch.no_grad():
        truth = [
            encoder(**words(text, return_tensors="pt", return_token_type_ids=False)).last_hidden_state[0].numpy()
            for text in (PLAIN, "b")
        ]
    assert_states(predictor.predict([PLAIN, "b"]), truth)


@pytest.mark.parametrize("task", ["feature-extraction", "token-classification", "zero-shot-classification"])
def test_a_model_that_sees_padding_answers_rows_as_alone(build, tmp_path, task):
    """Its convolutions reach over the end of a text into what pads it."""
    import transformers

    from tests.checkpoints import vocabulary
    from tests.checkpoints.classifiers import BERT_SIZES, labels
    from tests.checkpoints.writing import write

    heads = {"feature-extraction": "Model", "token-classification": "ForTokenClassification"}
    words = vocabulary.wordpiece(128)
    names = labels(["contradiction", "neutral", "entailment"])
    config = transformers.ConvBertConfig(vocab_size=len(words), embedding_size=32, **BERT_SIZES, **names)
    made = getattr(transformers, f"ConvBert{heads.get(task, 'ForSequenceClassification')}")(config)
    write(tmp_path / "convbert", made, words, seed=41)
    predictor = hfspec.load(build(tmp_path / "convbert", task, library="transformers"))
    data = [PLAIN, "a", "", "the quick brown fox jumps over the lazy dog " * 3, PLAIN]
    if task.startswith("zero"):
        data = [{"sequences": text, "candidate_labels": ["happy", "a very sad film"]} for text in data]
    numbers = [numbers_in(row) for row in predictor.predict(data, outputs="full")]
    assert [len(row) for row in numbers] == [len(numbers_in(predictor.predict(row, outputs="full")[0])) for row in data]
    for row, mine in zip(data, numbers, strict=True):
        assert mine == pytest.approx(numbers_in(predictor.predict(row, outputs="full")[0]), abs=1e-5)


def numbers_in(answer):
    """Every score or state in a row of full output."""
    if "entities" in answer:
        return [entity["score"] for entity in answer["entities"]]
    return np.ravel(answer.get("features", answer.get("scores"))).tolist()


def test_a_spec_with_settings_of_the_other_library_is_refused(extractor):
    with pytest.raises(SpecError, match="normalize_embeddings"):
        extractor("bert-mlm", model_config={"normalize_embeddings": True})
