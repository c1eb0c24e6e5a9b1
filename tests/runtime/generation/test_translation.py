"""From which language into which: every way to say it, and every way to say it wrong."""

from __future__ import annotations

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError
from tests.runtime.generation.test_seq2seq import language_token, truths

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
TEXTS = ["the dog", "hello world, this is a film", "rain"]
ROOM = {"max_new_tokens": 9, "num_beams": 2}


@pytest.fixture
def loaded(build, checkpoint):
    def get(name, task="translation", load=None, **keys):
        return hfspec.load(build(checkpoint(name), task, **keys), model_config={**ROOM, **(load or {})})

    return get


@pytest.fixture
def right(checkpoint):
    """``right(name, source, target, texts)``: by the model and its tokenizer alone."""

    def get(name, source, target, texts=TEXTS):
        forced = language_token(checkpoint(name), target)
        return [text for text, _ in truths(checkpoint(name), texts, source, forced_bos_token_id=forced, **ROOM)]

    return get


@pytest.mark.parametrize(
    ("name", "source", "target", "other"),
    [
        ("mbart", "en_XX", "ro_RO", "de_DE"),
        ("nllb", "eng_Latn", "fra_Latn", "zho_Hans"),
        ("m2m100", "en", "fr", "ast"),
    ],
)
def test_every_place_that_can_name_the_languages(loaded, right, name, source, target, other):
    wanted = right(name, source, target)
    there = right(name, target, other)
    assert wanted != there
    assert loaded(name, model_config={"src_lang": source, "tgt_lang": target}).predict(TEXTS) == wanted
    assert loaded(name, load={"src_lang": source, "tgt_lang": target}).predict(TEXTS) == wanted
    predictor = loaded(name, signature={"params": {"src_lang": source, "tgt_lang": target}})
    assert predictor.predict(TEXTS) == wanted
    assert predictor.predict(TEXTS, {"src_lang": target, "tgt_lang": other}) == there
    assert predictor.predict(TEXTS) == wanted


def test_the_name_of_the_task(loaded, right):
    assert loaded("m2m100", "translation_en_to_fr").predict(TEXTS) == right("m2m100", "en", "fr")
    full = loaded("m2m100", "translation_en_to_fr").predict(TEXTS[:1], outputs="full")
    assert (full[0]["src_lang"], full[0]["tgt_lang"]) == ("en", "fr")
    overridden = loaded("m2m100", "translation_en_to_fr", model_config={"tgt_lang": "de"})
    assert overridden.predict(TEXTS) == right("m2m100", "en", "de")


def test_the_tokenizer_says(loaded, right, checkpoint):
    tokenizer = {"path": str(checkpoint("nllb")), "options": {"src_lang": "deu_Latn", "tgt_lang": "fra_Latn"}}
    predictor = loaded("nllb", components={"tokenizer": tokenizer})
    assert predictor.predict(TEXTS) == right("nllb", "deu_Latn", "fra_Latn")


def test_the_tokenizers_own_option_limits_a_text(loaded, checkpoint):
    tokenizer = {"path": str(checkpoint("t5")), "options": {"model_max_length": 20}}
    predictor = loaded("t5", "translation_en_to_fr", components={"tokenizer": tokenizer})
    with pytest.raises(InputError, match="the model reads at most 20") as caught:
        predictor.predict(["short", "long " * 20])
    assert caught.value.row == 1


def test_the_checkpoint_begins_in_its_own_language(loaded, checkpoint):
    """mBART's answers begin with the decoder's start token, which is a language."""
    predictor = loaded("mbart", model_config={"src_lang": "en_XX"})
    plain = [text for text, _ in truths(checkpoint("mbart"), TEXTS, "en_XX", **ROOM)]
    assert predictor.predict(TEXTS) == plain


def test_forced_bos_token_id_names_the_target(loaded, right, checkpoint):
    token = language_token(checkpoint("nllb"), "fra_Latn")
    predictor = loaded("nllb", model_config={"src_lang": "eng_Latn", "forced_bos_token_id": token})
    assert predictor.predict(TEXTS) == right("nllb", "eng_Latn", "fra_Latn")


def test_each_row_has_its_own_languages(loaded, right):
    import pandas as pd

    predictor = loaded("nllb", model_config={"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"})
    frame = pd.DataFrame(
        {
            "id": range(4),
            "text": ["the dog"] * 4,
            "src_lang": ["eng_Latn", "deu_Latn", None, "deu_Latn"],
            "tgt_lang": ["deu_Latn", "fra_Latn", None, "spa_Latn"],
        }
    )
    pairs = [("eng_Latn", "deu_Latn"), ("deu_Latn", "fra_Latn"), ("eng_Latn", "fra_Latn"), ("deu_Latn", "spa_Latn")]
    wanted = [right("nllb", *pair, ["the dog"])[0] for pair in pairs]
    assert len(set(wanted)) > 2
    assert predictor.predict(frame) == wanted
    rows = predictor.predict([*frame.to_dict("records")[:2], "the dog"], outputs="full")
    assert [(row["text"], row["src_lang"], row["tgt_lang"]) for row in rows] == [
        (wanted[0], *pairs[0]),
        (wanted[1], *pairs[1]),
        (wanted[2], *pairs[2]),
    ]


def test_t5_reads_the_pair_as_a_prefix(loaded):
    def prompt(predictor, data="the dog", **given):
        return predictor.predict(data, outputs="full", **given)[0]["prompt"]

    assert prompt(loaded("t5", "translation_en_to_fr")) == "translate English to French: the dog"
    predictor = loaded("t5", signature={"params": {"src_lang": "en", "tgt_lang": "de"}})
    assert prompt(predictor) == "translate English to German: the dog"
    assert prompt(predictor, params={"tgt_lang": "ro"}) == "translate English to Romanian: the dog"
    assert prompt(predictor, {"text": "the dog", "tgt_lang": "fr"}) == "translate English to French: the dog"
    assert predictor.settings()["max_length"].value == 16
    own = loaded("t5", prompt_template="translate English to Welsh: {prompt}")
    assert prompt(own) == "translate English to Welsh: the dog"


def test_marian_takes_its_target_from_the_text(loaded, checkpoint):
    texts = [">>fra<< the dog", ">>ron<< the dog", "the dog"]
    for task in ("translation", "translation_en_to_fr"):
        answer = loaded("marian", task).predict(texts)
        assert answer == [text for text, _ in truths(checkpoint("marian"), texts, **ROOM)]
        assert len(set(answer)) > 1
    templated = loaded("marian", prompt_template=">>fra<< {prompt}")
    assert templated.predict("the dog") == answer[:1]


UNKNOWN = [
    ("nllb", {"src_lang": "eng_Latn", "tgt_lang": "fr"}, "tgt_lang", "'fr'; did you mean 'fra_Latn'"),
    ("nllb", {"src_lang": "English", "tgt_lang": "fra_Latn"}, "src_lang", "did you mean 'eng_Latn'"),
    ("mbart", {"src_lang": "en", "tgt_lang": "ro_RO"}, "src_lang", "did you mean 'en_XX'"),
    ("m2m100", {"src_lang": "en", "tgt_lang": "fra"}, "tgt_lang", "did you mean 'fr'"),
    ("m2m100", {"src_lang": "en", "tgt_lang": "</s>"}, "tgt_lang", "knows no language"),
    (
        "t5",
        {"src_lang": "en", "tgt_lang": "es"},
        "tgt_lang",
        "into 'es'; its config has prefixes for en to de, en to fr",
    ),
    ("marian", {"tgt_lang": "fra"}, "tgt_lang", "would change nothing; write one of >>fra<<"),
    ("bart", {"tgt_lang": "fr"}, "tgt_lang", "no choice of languages"),
]


@pytest.mark.parametrize(("name", "said", "wrong", "words"), UNKNOWN)
def test_a_language_the_checkpoint_does_not_know(loaded, name, said, wrong, words):
    with pytest.raises(ParamsError) as caught:
        loaded(name, load=said).predict(TEXTS)
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "said", "wrong", "words"), UNKNOWN)
def test_a_language_in_the_spec_is_checked_by_the_plan(loaded, name, said, wrong, words):
    places = {
        ("model_config", wrong): {"model_config": said},
        ("signature", "params", wrong): {"signature": {"params": said}},
    }
    for path, keys in places.items():
        with pytest.raises(SpecError) as caught:
            loaded(name, **keys)
        assert [(problem.code, problem.path) for problem in caught.value.problems] == [("unknown-language", path)]
        assert words in str(caught.value)


@pytest.mark.parametrize(
    ("name", "task", "words"),
    [
        ("nllb", "translation_eng_to_fra", ["did you mean 'eng_Latn'", "did you mean 'fra_Latn'"]),
        ("t5", "translation_fr_to_en", ["does not translate from 'fr'", "does not translate into 'en'"]),
        ("t5", "translation_en_to_es", ["does not translate into 'es'"]),
    ],
)
def test_a_language_in_the_tasks_name_is_checked_by_the_plan(loaded, name, task, words):
    with pytest.raises(SpecError) as caught:
        loaded(name, task)
    assert [problem.path for problem in caught.value.problems] == [("task",)] * len(words)
    assert all(word in str(problem) for word, problem in zip(words, caught.value.problems, strict=True))


@pytest.mark.parametrize(
    ("name", "data", "row", "words"),
    [
        ("nllb", ["a", "b"], 0, "src_lang and tgt_lang must be said"),
        ("mbart", ["a"], 0, "src_lang must be said"),
        ("t5", ["a"], 0, "src_lang and tgt_lang must be said; its config has prefixes for en to de"),
        (
            "t5",
            [{"text": "a", "src_lang": "en", "tgt_lang": "fr"}, {"text": "a", "src_lang": "en"}],
            1,
            "tgt_lang must",
        ),
        (
            "nllb",
            [
                {"text": "a", "src_lang": "eng_Latn", "tgt_lang": "fra_Latn"},
                {"text": "a", "src_lang": "eng_Latn", "tgt_lang": "fra_latn"},
            ],
            1,
            "did you mean 'fra_Latn'",
        ),
        ("m2m100", [{"text": "a", "src_lang": "en", "tgt_lang": 5}], 0, "tgt_lang"),
        ("marian", ["a", {"text": "a", "tgt_lang": "fra"}], 1, "would change nothing"),
    ],
)
def test_a_row_without_a_good_language(loaded, name, data, row, words):
    with pytest.raises(InputError) as caught:
        loaded(name).predict(data)
    assert caught.value.row == row
    assert words in str(caught.value)


def test_the_command_line(build, checkpoint, capsys):
    import json

    from hfspec.runtime.command import main

    folder = build(checkpoint("m2m100"), "translation_en_to_fr", model_config=ROOM)
    assert main(folder, ["the dog", "rain"]) == 0
    assert json.loads(capsys.readouterr().out) == hfspec.load(folder).predict(["the dog", "rain"])


def test_sentencepiece_is_among_the_requirements(build, checkpoint):
    lines = {
        name: (build(checkpoint(name), "translation", model_config=ROOM) / "requirements.txt").read_text()
        for name in ("m2m100", "marian", "nllb")
    }
    assert ["sentencepiece==" in lines[name] for name in ("m2m100", "marian", "nllb")] == [True, True, False]
