"""Entities equal those of the library's own pipeline, one row at a time."""

from __future__ import annotations

import json
import sys

import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, SpecError
from tests import interpreters
from tests.runtime.texts import MIXED, shuffled

KINDS = ["bert-ner", "roberta-ner"]
STRATEGIES = ["none", "simple", "first", "average", "max"]
SENTENCE = "My dog jumps over the Zebra in London, and Ünïcode naïve 42nd-street 漢字."
TEXTS = (*MIXED, SENTENCE)


@pytest.fixture(scope="module")
def pipeline_of(checkpoint):
    """``pipeline_of(name, **settings)``: the library's pipeline, but with the words that the tokenizer knows."""
    from transformers import pipeline

    def made(name, **settings):
        pipe = pipeline("token-classification", str(checkpoint(name)), device="cpu", **settings)
        gather = pipe.gather_pre_entities

        def with_real_words(sentence, ids, *rest, **options):
            found = gather(sentence, ids, *rest, **options)
            windows = {"stride": settings["stride"], "return_overflowing_tokens": True} if "stride" in settings else {}
            whole = pipe.tokenizer([sentence], truncation=True, padding=True, **windows)
            of = whole.word_ids(whole["input_ids"].index(ids.tolist()))
            for before, entity in zip([None, *found], found, strict=False):
                entity["is_subword"] = before is not None and of[before["index"]] == of[entity["index"]]
            return found

        pipe.gather_pre_entities = with_real_words
        return pipe

    return made


@pytest.fixture
def tagger(build, checkpoint):
    """``tagger(name, **model_config)``: the predictor, with the settings given to load."""
    return lambda name, **config: hfspec.load(
        build(checkpoint(name), "token-classification"), model_config=config, verify=False
    )


def assert_entities(answer, truth):
    """``answer``: full output; ``truth``: the pipeline's list of dicts for each row."""
    assert len(answer) == len(truth)
    for mine, row in zip(answer, truth, strict=True):
        assert without_scores(mine["entities"]) == without_scores(row)
        assert [entity["score"] for entity in mine["entities"]] == pytest.approx(
            [float(entity["score"]) for entity in row], abs=1e-5
        )


def without_scores(entities):
    return [{key: value for key, value in entity.items() if key != "score"} for entity in entities]


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("name", KINDS)
def test_every_entity_as_the_pipeline_says(tagger, pipeline_of, name, strategy):
    pipe = pipeline_of(name, aggregation_strategy=strategy)
    for batch_tokens in (1, 64, 100_000):
        texts = shuffled(TEXTS, seed=batch_tokens)
        predictor = tagger(name, aggregation_strategy=strategy, batch_tokens=batch_tokens)
        answer = predictor.predict(texts, outputs="full")
        truth = [pipe(text) for text in texts]
        assert any(truth)
        assert_entities(answer, truth)


def test_scores_are_those_of_the_model_itself(tagger, checkpoint):
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint("bert-ner"))
    model = AutoModelForTokenClassification.from_pretrained(checkpoint("bert-ner")).eval()
    with torch.no_grad():
        scores = model(**words(SENTENCE, return_tensors="pt")).logits[0].softmax(-1)[1:-1]
    (row,) = tagger("bert-ner", ignore_labels=[]).predict(SENTENCE, outputs="full")
    labels = [model.config.id2label[int(best)] for best in scores.argmax(-1)]
    assert [entity["entity"] for entity in row["entities"]] == labels
    assert [entity["score"] for entity in row["entities"]] == pytest.approx(scores.max(-1).values.tolist(), abs=1e-5)


@pytest.mark.parametrize(("strategy", "key"), [("none", "entity"), ("simple", "entity_group")])
def test_the_standard_form_is_the_labels_of_each_row(tagger, pipeline_of, strategy, key):
    texts = [SENTENCE, "", "a fine film", "a fine film"]
    pipe = pipeline_of("bert-ner", aggregation_strategy=strategy)
    truth = [",".join(entity[key] for entity in pipe(text)) for text in texts]
    answer = tagger("bert-ner", aggregation_strategy=strategy).predict(texts)
    assert answer == truth
    assert answer[1] == ""
    assert "," in answer[0]


def test_groups_point_at_their_text(tagger):
    (row,) = tagger("bert-ner", aggregation_strategy="first").predict(SENTENCE, outputs="full")
    words = [SENTENCE[entity["start"] : entity["end"]] for entity in row["entities"]]
    assert words
    assert [word.lower() for word in words if word.isascii() and word.isalpha()] == [
        entity["word"] for entity, word in zip(row["entities"], words, strict=True) if word.isascii() and word.isalpha()
    ]


@pytest.mark.parametrize("ignored", [[], ["O", "B-LOC", "I-LOC"]])
def test_labels_to_leave_out_can_be_chosen(tagger, pipeline_of, ignored):
    pipe = pipeline_of("roberta-ner", ignore_labels=ignored)
    answer = tagger("roberta-ner", ignore_labels=ignored).predict(list(TEXTS), outputs="full")
    assert_entities(answer, [pipe(text) for text in TEXTS])


@pytest.mark.filterwarnings("ignore:Tokenizer does not support real words")
@pytest.mark.parametrize("strategy", STRATEGIES[1:])
@pytest.mark.parametrize("name", KINDS)
def test_long_texts_are_read_in_windows_that_overlap(tagger, pipeline_of, name, strategy):
    texts = ["a fine film", f"{SENTENCE} " * 15, "short", "the quick brown fox. " * 60]
    pipe = pipeline_of(name, aggregation_strategy=strategy, stride=20)
    for batch_tokens in (1, 4096):
        predictor = tagger(name, aggregation_strategy=strategy, stride=20, batch_tokens=batch_tokens)
        assert_entities(predictor.predict(texts, outputs="full"), [pipe(text) for text in texts])


def test_a_text_longer_than_the_model_reads_is_refused_by_its_row(tagger):
    with pytest.raises(InputError) as caught:
        tagger("bert-ner").predict(["a", "a " * 127])
    assert caught.value.row == 1
    assert "129 tokens" in str(caught.value)
    assert "at most 128" in str(caught.value)
    assert "truncation: true" in str(caught.value)


def test_truncation_cuts_as_the_pipeline_does(tagger, pipeline_of):
    texts = [f"{SENTENCE} " * 15, "a"]
    answer = tagger("bert-ner", truncation=True).predict(texts, outputs="full")
    assert_entities(answer, [pipeline_of("bert-ner")(text) for text in texts])


def test_settings_that_cannot_work_are_refused(tagger):
    with pytest.raises(ParamsError, match="aggregation_strategy is none"):
        tagger("bert-ner", stride=4).predict("a")
    with pytest.raises(ParamsError, match="less than 126"):
        tagger("bert-ner", stride=126, aggregation_strategy="simple").predict("a")
    with pytest.raises(ParamsError, match="none, simple, first, average, max"):
        tagger("bert-ner", aggregation_strategy="mean")
    with pytest.raises(ParamsError, match="ignore_labels"):
        tagger("bert-ner", ignore_labels="O")


def test_every_form_of_input_means_the_same(tagger):
    import numpy as np
    import pandas as pd

    texts = [SENTENCE, "", "a fine film"]
    predictor = tagger("bert-ner")
    truth = predictor.predict(texts)
    assert [predictor.predict(text)[0] for text in texts] == truth
    frame = pd.DataFrame({"id": ["x", "y", "z"], "text": texts})
    forms = [
        tuple(texts),
        {"text": texts},
        [{"text": text} for text in texts],
        frame,
        pd.Series(texts),
        np.array(texts),
    ]
    assert [predictor.predict(form) for form in forms] == [truth] * len(forms)
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (["a", None], "row 1.*missing"),
        (["a", 5], "row 1.*expected text"),
        ([["a", "b"]], "row 0"),
        (None, "expected text"),
        (3, "expected text"),
        ({"texts": "a"}, "did you mean 'texts' to be 'text'"),
        ([{"text": "a"}, {}], "row 1.*'text' is missing"),
    ],
)
def test_bad_input_is_refused(tagger, data, words):
    with pytest.raises(InputError, match=words):
        tagger("bert-ner").predict(data)


@pytest.mark.parametrize("text", ["5", "None", "'quoted'", "['a', 'b']"])
def test_text_is_never_evaluated(tagger, pipeline_of, text):
    assert_entities(tagger("bert-ner").predict(text, outputs="full"), [pipeline_of("bert-ner")(text)])


def test_the_alias_means_the_same_and_full_answers_are_json(build, checkpoint, pipeline_of):
    folder = build(checkpoint("bert-ner"), "ner", model_config={"aggregation_strategy": "simple"}, outputs="full")
    done = interpreters.run(
        [sys.executable, folder / "predictor.py", SENTENCE, ""], capture_output=True, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    pipe = pipeline_of("bert-ner", aggregation_strategy="simple")
    assert_entities(json.loads(done.stdout), [pipe(SENTENCE), []])


def test_a_checkpoint_without_a_tagging_head_is_refused(checkpoint, build):
    with pytest.raises(SpecError, match="says that the checkpoint is a BertForMaskedLM"):
        build(checkpoint("bert-mlm"), "token-classification")


NAMES = "Ada Lovelace{0}walks{0}in{0}Köln{0}東京へ行く{0}京都,{0}too"
SPACES = {
    "space": " ",
    "line break": "\n",
    "CRLF": "\r\n",
    "tab": "\t",
    "ideographic": "\u3000",
    "no-break": "\xa0",
    "line separator": "\u2028",
    "two": " \n",
    "blank line": "\n\n",
}


def by_word(folder, text, strategy, words_of):
    """(start, end, label) of each run of words of one label, from the model itself; ``words_of(encoding)``: a word for
    each token, None for the special ones.
    """
    import torch
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForTokenClassification.from_pretrained(folder).eval()
    encoding = words(text, return_offsets_mapping=True, return_tensors="pt")
    with torch.no_grad():
        scores = model(encoding["input_ids"]).logits[0].softmax(-1)
    tokens_of = {}
    for index, word in enumerate(words_of(encoding)):
        if word is not None:
            tokens_of.setdefault(word, []).append(index)
    runs = []
    for indices in tokens_of.values():
        mine = scores[indices]
        best = {"first": mine[0], "average": mine.mean(0), "max": mine[mine.max(-1).values.argmax()]}[strategy]
        label = model.config.id2label[int(best.argmax())]
        start, end = (int(encoding["offset_mapping"][0][indices[at]][at]) for at in (0, -1))
        if runs and not label.startswith("B-") and label.removeprefix("I-") == runs[-1][2]:
            start = runs.pop()[0]
        runs.append((start, end, label.removeprefix("B-").removeprefix("I-")))
    return runs


def answered(tagger, name, text, strategy):
    (row,) = tagger(name, aggregation_strategy=strategy, ignore_labels=[]).predict(text, outputs="full")
    return [(entity["start"], entity["end"], entity["entity_group"]) for entity in row["entities"]]


@pytest.mark.parametrize("strategy", STRATEGIES[2:])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
@pytest.mark.parametrize("name", [*KINDS, "gpt2-ner"])
def test_words_are_those_of_the_tokenizer_whatever_parts_them(tagger, checkpoint, name, space, strategy):
    text = NAMES.format(space)
    truth = by_word(checkpoint(name), text, strategy, lambda encoding: encoding.word_ids())
    assert answered(tagger, name, text, strategy) == truth


@pytest.mark.parametrize("strategy", STRATEGIES[2:])
@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_where_the_tokenizer_knows_no_words_white_space_parts_them(tagger, checkpoint, space, strategy):
    """All of a text is one word to the tokenizer."""
    text = NAMES.format(space)
    starts = [at for at, letter in enumerate(text) if not letter.isspace() and (at == 0 or text[at - 1].isspace())]

    def words_of(encoding):
        places = encoding["offset_mapping"][0].tolist()
        white = [("white", start) if text[start:end].isspace() else None for start, end in places]
        return [gap or sum(at < end for at in starts) for gap, (_, end) in zip(white, places, strict=True)]

    truth = by_word(checkpoint("wordless-ner"), text, strategy, words_of)
    assert answered(tagger, "wordless-ner", text, strategy) == truth
