"""Summaries, translations and other answers equal those of the library's own pipelines while it had them, and of the
model itself, one text at a time, token for token.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from tests.runtime.texts import MIXED, shuffled

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "seq2seq.json").read_text(encoding="utf-8"))["cases"]
LANGUAGES = {
    "mbart": {"src_lang": "en_XX", "tgt_lang": "ro_RO"},
    "nllb": {"src_lang": "eng_Latn", "tgt_lang": "fra_Latn"},
    "m2m100": {"src_lang": "en", "tgt_lang": "fr"},
}
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
KINDS = {
    "t5": "text2text-generation",
    "bart": "summarization",
    "mbart": "translation",
    "nllb": "translation",
    "m2m100": "translation",
    "marian": "translation",
}
TEXTS = [
    "hello world, this is a film",
    "the dog",
    "hello world, this is a film",
    "a man is eating food in the rain " * 2,
]


@pytest.fixture
def loaded(build, checkpoint):
    """``loaded(name, task, **keys)``: a predictor of the tiny checkpoint."""

    def get(name, task=None, load=None, **keys):
        return hfspec.load(build(checkpoint(name), task or KINDS[name], **keys), model_config=load)

    return get


def truths(folder, texts, source=None, **settings):
    """(text, tokens made) of each text alone, by the model and the tokenizer themselves."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    if source:
        words.src_lang = source
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    model.generation_config.max_length = None
    found = []
    for text in texts:
        made = model.generate(**words(text, return_tensors="pt"), **settings)[:, 1:]
        found += [(words.decode(line, skip_special_tokens=True), line.tolist()) for line in made]
    return found


def counted(tokens, end):
    return tokens.index(end) + 1 if end in tokens else len(tokens)


@pytest.mark.parametrize(
    "case", GOLDEN, ids=lambda case: f"{case['checkpoint']}-{case['task']}-{'+'.join(case['settings'])}"
)
def test_the_pipelines_of_transformers_4_57(loaded, case):
    predictor = loaded(case["checkpoint"], case["task"], model_config=case["settings"])
    assert predictor.predict(case["texts"]) == case["answers"]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("batch_tokens", [1, 700, 100_000])
def test_a_row_in_any_batch_is_what_it_is_alone(loaded, checkpoint, name, beams, batch_tokens):
    texts = shuffled(MIXED, seed=batch_tokens)
    pair = LANGUAGES.get(name, {})
    settings = {"num_beams": beams, "max_new_tokens": 9, "batch_tokens": batch_tokens, **pair}
    answer = loaded(name, load=settings).predict(texts, outputs="full")
    forced = {"forced_bos_token_id": language_token(checkpoint(name), pair["tgt_lang"])} if pair else {}
    prefix = " " if name == "bart" else ""
    right = truths(
        checkpoint(name),
        [prefix + text for text in texts],
        pair.get("src_lang"),
        num_beams=beams,
        max_new_tokens=9,
        **forced,
        **({"min_length": 4} if name == "bart" else {}),
    )
    end = {"t5": 1, "marian": 0}.get(name, 2)
    assert [(row["text"], row["completion_tokens"]) for row in answer] == [
        (text, counted(tokens, end)) for text, tokens in right
    ]


def language_token(folder, code):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    return words.get_lang_id(code) if hasattr(words, "get_lang_id") else words.convert_tokens_to_ids(code)


@pytest.mark.parametrize(
    "settings",
    [
        {"encoder_no_repeat_ngram_size": 2},
        {"encoder_repetition_penalty": 1.7},
        {"repetition_penalty": 1.4, "num_beams": 1},
        {"no_repeat_ngram_size": 2, "length_penalty": 0.2},
        {"min_new_tokens": 9},
        {"early_stopping": True},
        {"early_stopping": "never", "length_penalty": 2.0},
        {"bad_words_ids": [[5], [6, 7]]},
        {"suppress_tokens": [78, 90]},
        {"begin_suppress_tokens": [1, 78]},
        {"forced_bos_token_id": 11},
        {"forced_eos_token_id": 1},
        {"exponential_decay_length_penalty": [3, 1.5]},
        {"use_cache": False},
        {"remove_invalid_values": True, "renormalize_logits": True},
    ],
    ids="+".join,
)
def test_settings_mean_what_they_mean_to_the_library(loaded, checkpoint, settings):
    texts = shuffled(MIXED)
    answer = loaded("t5", load={"max_new_tokens": 9, **settings}).predict(texts)
    right = truths(checkpoint("t5"), texts, **{"max_new_tokens": 9, "num_beams": 4, **settings})
    assert answer == [text for text, _ in right]


@pytest.mark.parametrize("beams", [1, 3])
def test_a_stop_string_ends_an_answer(loaded, checkpoint, beams):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint("t5"))
    settings = {"max_new_tokens": 12, "num_beams": beams, "stop_strings": ["R"]}
    rows = loaded("t5", load=settings).predict(list(MIXED), outputs="full")
    right = truths(checkpoint("t5"), MIXED, tokenizer=words, **settings)
    assert [row["text"] for row in rows] == [text for text, _ in right]
    ended = [row for row in rows if "R" in row["text"]]
    assert ended
    assert {row["finish_reason"] for row in ended} == {"stop"}


def test_a_template_with_several_slots(loaded, checkpoint):
    predictor = loaded(
        "t5", prompt_template="question: {question} context: {context}", load={"max_new_tokens": 8, "num_beams": 2}
    )
    rows = [{"question": "who?", "context": "{question} the dog"}, {"context": "rain", "question": "None"}]
    right = truths(
        checkpoint("t5"),
        ["question: who? context: {question} the dog", "question: None context: rain"],
        max_new_tokens=8,
        num_beams=2,
    )
    assert predictor.predict(rows) == [text for text, _ in right]


def test_the_plan_shows_what_the_checkpoint_says_of_the_task(checkpoint, tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        f"spec_version: 1\nlibrary: transformers\ntask: summarization\nmodel: {{path: {checkpoint('t5')}}}\n",
        encoding="utf-8",
    )
    settings = {row.key: (row.value, row.origin) for row in hfspec.plan(spec).settings}
    assert settings["max_length"] == (24, "task_specific_params of config.json")
    assert settings["num_beams"] == (4, "task_specific_params of config.json")
    assert "max_new_tokens" not in settings
    assert settings["truncation"] == (False, "hfspec default")


def test_texts_of_several_lengths_share_a_batch(loaded):
    predictor = loaded("t5", load={"max_new_tokens": 9})
    shapes = []
    generate = predictor._runner.model.generate
    predictor._runner.model.generate = lambda **given: (shapes.append(given["input_ids"].shape), generate(**given))[1]
    predictor.predict(shuffled(MIXED))
    assert [shape[0] for shape in shapes] == [len(MIXED)]


def test_the_full_output_tells_all(loaded, checkpoint):
    predictor = loaded("t5", load={"max_new_tokens": 12, "num_beams": 1}, prompt_template="{{q}} {prompt}!")
    rows = predictor.predict(["the dog", "rain", "a"], outputs="full")
    right = truths(checkpoint("t5"), ["{q} the dog!", "{q} rain!", "{q} a!"], max_new_tokens=12, num_beams=1)
    assert [row["text"] for row in rows] == [text for text, _ in right]
    assert [row["prompt"] for row in rows] == ["{q} the dog!", "{q} rain!", "{q} a!"]
    assert [row["completion_tokens"] for row in rows] == [counted(tokens, 1) for _, tokens in right]
    assert [row["finish_reason"] for row in rows] == ["stop" if 1 in tokens else "length" for _, tokens in right]
    assert {row["finish_reason"] for row in loaded("bart").predict(list(MIXED), outputs="full")} >= {"length"}


def test_both_ends_of_an_answer_are_told_apart(loaded):
    rows = loaded("t5", load={"max_new_tokens": 14}).predict(list(MIXED), outputs="full")
    assert {row["finish_reason"] for row in rows} == {"stop", "length"}
    assert all(row["completion_tokens"] == 14 for row in rows if row["finish_reason"] == "length")


def test_every_sequence_of_every_row_is_given(loaded):
    predictor = loaded("bart", model_config={"num_return_sequences": 2})
    rows = predictor.predict(["the dog", "rain", "the dog"])
    assert len(rows) == 6
    assert rows[:2] == rows[4:] == predictor.predict("the dog")
    assert rows[2:4] == predictor.predict("rain")
    assert len(predictor.predict(["the dog", "rain"], outputs="full")) == 4


def test_more_sequences_than_beams_is_an_error(loaded):
    with pytest.raises(ParamsError, match="num_return_sequences is 5"):
        loaded("t5", load={"num_return_sequences": 5}).predict("a")


def test_layers_of_settings(loaded):
    """The pipelines' defaults, below the generation config, below the task's own params, below the spec's."""
    where = {"t5": ("summarization", 4, 24), "bart": ("text2text-generation", 4, 18)}
    for name, (task, beams, length) in where.items():
        settings = loaded(name, task).settings()
        assert (settings["num_beams"].value, settings["max_length"].value) == (beams, length)
        assert settings["max_length"].origin == "checkpoint"
    assert loaded("bart", "summarization").settings()["max_length"].value == 21
    plain = loaded("t5", "text2text-generation").settings()
    assert (plain["num_beams"].value, plain["num_beams"].origin) == (4, "hfspec default")
    assert loaded("t5", "summarization", model_config={"num_beams": 2}).settings()["num_beams"].value == 2


def test_the_length_of_the_higher_layer_holds(loaded):
    def longest(predictor, params=None):
        return max(row["completion_tokens"] for row in predictor.predict(list(MIXED), params, outputs="full"))

    assert longest(loaded("t5", "summarization")) == 23
    assert longest(loaded("t5", "summarization", model_config={"max_length": 6})) == 5
    assert longest(loaded("t5", "summarization", model_config={"max_new_tokens": 6})) == 6
    predictor = loaded(
        "t5", "summarization", model_config={"max_new_tokens": 6}, signature={"params": {"max_length": 9}}
    )
    assert longest(predictor) == 8
    assert longest(predictor, {"max_length": 4}) == 3


def test_sampling_repeats_with_a_seed(loaded):
    predictor = loaded(
        "t5", signature={"params": {"do_sample": True, "seed": 5, "num_beams": 1, "temperature": 0.9, "max_length": 12}}
    )
    texts = ["the dog", "rain", "the dog", "a fine film"]
    first = predictor.predict(texts)
    assert first == predictor.predict(texts)
    assert first[0] == first[2] == predictor.predict("the dog")[0]
    assert first != predictor.predict(texts, {"seed": 6})


@pytest.mark.parametrize("task", ["summarization", "text2text-generation", "translation_en_to_fr"])
def test_every_form_of_input(loaded, task):
    import numpy as np
    import pandas as pd

    predictor = loaded("t5", task, load={"max_new_tokens": 6})
    right = predictor.predict(TEXTS)
    assert len(right) == 4
    assert right[0] == right[2] != right[1]
    forms = [
        tuple(TEXTS),
        {"text": TEXTS},
        [{"text": text} for text in TEXTS],
        np.array(TEXTS),
        pd.Series(TEXTS),
        pd.DataFrame({"text": TEXTS}),
        pd.DataFrame({"anything": TEXTS}),
        pd.DataFrame({"id": [1, 2, 3, 4], "text": TEXTS}),
    ]
    for form in forms:
        assert predictor.predict(form) == right
    assert predictor.predict(TEXTS[1]) == predictor.predict({"text": TEXTS[1]}) == right[1:2]
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


def test_text_is_text(loaded):
    """A column's name is no part of the text, and nothing in a text is evaluated."""
    import pandas as pd

    predictor = loaded("t5", "summarization")
    for text in ["5", "None", "'quoted'", "{'text': 'a'}", "[1, 2]"]:
        rows = predictor.predict(pd.DataFrame({"text": [text]}), outputs="full")
        assert rows[0]["prompt"] == f"summarize: {text}"


@pytest.mark.parametrize(
    ("data", "row", "words"),
    [
        (["a", None], 1, "missing"),
        (["a", 5], 1, "str"),
        (["a", ["b"]], 1, "expected one value"),
        ([{"text": "a"}, {"txt": "b"}], 1, "did you mean"),
        ({"txt": "a"}, 0, "text"),
        (7, None, "expected"),
        ([{"role": "user", "content": "hi"}], None, "chat"),
    ],
)
def test_bad_input_names_the_row(loaded, data, row, words):
    with pytest.raises(InputError, match=words) as caught:
        loaded("t5").predict(data)
    assert caught.value.row == row


def test_a_long_text_is_cut_only_when_asked(loaded, checkpoint):
    text = "the quick brown fox " * 40
    with pytest.raises(InputError, match="has 323 tokens and the model reads at most 128") as caught:
        loaded("bart").predict(["short", text])
    assert caught.value.row == 1
    rows = loaded("bart", model_config={"truncation": True}).predict(["short", text], outputs="full")
    assert [row["prompt_tokens"] for row in rows][1] == 128


def test_no_more_tokens_than_the_decoder_has_places_for(loaded):
    assert (
        loaded("bart", load={"max_new_tokens": 127, "min_new_tokens": 127}).predict("a", outputs="full")[0][
            "completion_tokens"
        ]
        == 127
    )
    with pytest.raises(ParamsError, match="has room for 127"):
        loaded("bart", load={"max_new_tokens": 128}).predict("a")


def test_settings_that_do_not_go_together(loaded):
    with pytest.raises(ParamsError):
        loaded("t5", load={"num_return_sequences": 3, "num_beams": 2}).predict("a")
