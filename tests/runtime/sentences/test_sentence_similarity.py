"""Similarities equal those of SentenceTransformer.similarity_pairwise over the library's own embeddings."""

from __future__ import annotations

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError
from tests.runtime.sentences.test_sentence_embedding import TEXTS, encode, variant
from tests.runtime.texts import PLAIN, shuffled

PAIRS = [*zip(shuffled(TEXTS, 1), shuffled(TEXTS, 2), strict=True), (PLAIN, PLAIN)]
FUNCTIONS = ["cosine", "dot", "euclidean", "manhattan"]


def truth_of(folder, pairs, function=None, **settings):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", similarity_fn_name=function)
    sides = [model.encode([pair[side] for pair in pairs], **settings) for side in (0, 1)]
    return model.similarity_pairwise(*sides).numpy()


def assert_same(mine, truth):
    assert mine.dtype == np.float32
    assert mine.shape == truth.shape
    np.testing.assert_allclose(mine, truth, rtol=1e-6, atol=1e-5)


@pytest.fixture
def loaded(build, checkpoint):
    def get(name="st-dense", **model_config):
        return hfspec.load(build(checkpoint(name), "sentence-similarity"), model_config=model_config)

    return get


@pytest.mark.parametrize("name", ["minilm-like", "st-dense"])
@pytest.mark.parametrize("batch_tokens", [1, 90, 100_000])
def test_scores_equal_similarity_pairwise_in_any_batch(loaded, checkpoint, name, batch_tokens):
    assert_same(loaded(name, batch_tokens=batch_tokens).predict(PAIRS), truth_of(checkpoint(name), PAIRS))


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("where", ["checkpoint", "model_config"])
def test_the_similarity_function_is_the_models_own_or_the_specs(build, checkpoint, tmp_path, function, where):
    folder, settings = checkpoint("st-dense"), {"similarity_fn_name": function}
    if where == "checkpoint":
        folder, settings = variant(checkpoint, tmp_path / "stated", stated=settings), {}
        (folder / "modules.json").write_text(
            (folder / "modules.json").read_text().replace("models.Normalize", "models.Dropout")
        )
        (folder / "2_Normalize").mkdir(exist_ok=True)
        (folder / "2_Normalize" / "config.json").write_text('{"dropout": 0.1}')
    predictor = hfspec.load(build(folder, "sentence-similarity", model_config=settings))
    assert_same(predictor.predict(PAIRS), truth_of(folder, PAIRS, function))
    assert {row["similarity"] for row in predictor.predict(PAIRS, outputs="full")} == {function}


@pytest.mark.parametrize("settings", [{"prompt_name": "query"}, {"prompt": "say: "}, {"truncate_dim": 5}], ids=str)
def test_settings_of_the_embeddings_hold(loaded, checkpoint, settings):
    assert_same(loaded(**settings).predict(PAIRS), truth_of(checkpoint("st-dense"), PAIRS, **settings))


def test_every_form_of_input_is_the_same_pairs(loaded, checkpoint):
    import pandas as pd

    pairs = PAIRS[:4]
    truth = truth_of(checkpoint("st-dense"), pairs)
    first, second = (list(side) for side in zip(*pairs, strict=True))
    columns = {"source_sentence": first, "sentence": second}
    rows = [{"source_sentence": one, "sentence": other} for one, other in pairs]
    frame = pd.DataFrame({"id": range(4), "sentence": second, "source_sentence": first})
    for data in (pairs, [list(pair) for pair in pairs], rows, columns, frame, np.array(pairs, dtype=object)):
        assert_same(loaded().predict(data), truth)
    assert loaded().predict_json(rows[0]) == pytest.approx(truth[:1].tolist(), abs=1e-5)


def test_one_sentence_with_several(loaded, checkpoint):
    row = {"source_sentence": PLAIN, "sentences": [*TEXTS, PLAIN, PLAIN]}
    truth = truth_of(checkpoint("st-dense"), [(PLAIN, other) for other in row["sentences"]])
    assert_same(loaded().predict(row), truth)
    several = [row, {"source_sentence": "x", "sentences": []}, {"source_sentence": "x", "sentences": ["y"]}]
    answer = loaded(batch_tokens=1).predict(several)
    assert [len(scores) for scores in answer] == [len(row["sentences"]), 0, 1]
    assert_same(answer[0], truth)
    assert_same(answer[2], truth_of(checkpoint("st-dense"), [("x", "y")]))
    full = loaded().predict(several, outputs="full")
    np.testing.assert_allclose(full[0]["scores"], truth, atol=1e-5)
    assert [len(row["tokens"]) for row in full] == [len(row["sentences"]) + 1 for row in several]
    assert True in full[0]["truncated"]


def test_equal_texts_are_as_alike_as_can_be(loaded):
    assert loaded("minilm-like").predict((PLAIN, PLAIN)[:0]).shape == (0,)
    assert loaded("minilm-like").predict([(PLAIN, PLAIN)])[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("data", "row", "said"),
    [
        (["a"], 0, "nothing to put beside it"),
        ([("a", "b"), ("a", None)], 1, "nothing to put beside it"),
        ([("a", 5)], 0, "expected text"),
        ([{"source_sentence": "a", "sentences": "b"}], 0, "expected a list of texts"),
        ([{"source_sentence": "a", "sentences": ["b", 3]}], 0, r"sentences\[1\]"),
        ([("a", "b"), {"source_sentence": "a", "sentences": ["b"]}], 1, "all have sentence, or all have sentences"),
        ([{"sourcesentence": "a", "sentence": "b"}], 0, "source_sentence"),
    ],
    ids=str,
)
def test_bad_input_names_the_row(loaded, data, row, said):
    with pytest.raises(InputError, match=said) as caught:
        loaded().predict(data)
    assert caught.value.row == row


def test_pairs_that_look_alike_are_kept_apart(loaded, checkpoint):
    pairs = [("a", "b"), ("a", "b"), ("b", "a"), ("5", "None")]
    assert_same(loaded().predict(pairs), truth_of(checkpoint("st-dense"), pairs))
    assert encode(checkpoint("st-dense"), ["5"]).shape == (1, 24)
