"""Sparse rows equal those of SparseEncoder.encode on the same folder."""

from __future__ import annotations

import json

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError
from tests.runtime.texts import MIXED, PLAIN, shuffled

TEXTS = (*MIXED, "word " * 400, "long " * 60)


def library(folder):
    from sentence_transformers import SparseEncoder

    return SparseEncoder(str(folder), device="cpu")


def encode(folder, texts, **settings):
    """(texts, vocabulary), each text alone."""
    model = library(folder)
    return np.stack([model.encode([text], **settings).to_dense()[0].numpy() for text in texts])


def assert_same(rows, truth):
    assert len(rows) == len(truth)
    for row, line in zip(rows, truth, strict=True):
        dense = np.zeros(len(line), np.float32)
        assert row["values"].dtype == np.float32
        assert list(row["indices"]) == sorted(set(row["indices"]))
        assert np.count_nonzero(row["values"]) == len(row["values"])
        dense[row["indices"]] = row["values"]
        np.testing.assert_allclose(dense, line, rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("name", ["splade", "splade-sum"])
@pytest.mark.parametrize("batch_tokens", [1, 90, 100_000])
def test_rows_equal_encode_in_any_order_and_batch(artifact, checkpoint, name, batch_tokens):
    texts = shuffled(TEXTS, seed=batch_tokens)
    rows = hfspec.load(artifact(name), model_config={"batch_tokens": batch_tokens}).predict(texts)
    assert_same(rows, encode(checkpoint(name), texts))
    assert len({len(row["indices"]) for row in rows}) > 1 or name == "splade-sum"


@pytest.mark.parametrize("top", [1, 3, 10_000])
def test_max_active_dims_keeps_the_heaviest(artifact, checkpoint, top):
    rows = hfspec.load(artifact("splade", model_config={"max_active_dims": top})).predict(list(TEXTS))
    assert_same(rows, encode(checkpoint("splade"), TEXTS, max_active_dims=top))
    assert max(len(row["indices"]) for row in rows) <= top


def test_the_checkpoints_own_limit_can_be_lifted(artifact, checkpoint):
    stated = hfspec.load(artifact("splade-sum"))
    assert stated.settings()["max_active_dims"] == (40, "checkpoint")
    assert {len(row["indices"]) for row in stated.predict(list(TEXTS))} == {40}
    free = hfspec.load(artifact("splade-sum"), model_config={"max_active_dims": None})
    assert_same(free.predict([PLAIN]), encode(checkpoint("splade-sum"), [PLAIN], max_active_dims=10_000))


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("name", ["splade", "splade-sum"])
def test_roles_are_encode_query_and_encode_document(artifact, checkpoint, name, role):
    model = library(checkpoint(name))
    method = model.encode_query if role == "query" else model.encode_document
    truth = method(list(TEXTS)).to_dense().numpy()
    assert_same(hfspec.load(artifact(name), model_config={"role": role}).predict(list(TEXTS)), truth)


def test_full_output_names_the_terms(artifact, checkpoint):
    model = library(checkpoint("splade"))
    rows = hfspec.load(artifact("splade")).predict(list(TEXTS), outputs="full")
    vectors = model.encode(list(TEXTS))
    assert_same(rows, vectors.to_dense().numpy())
    for row, vector in zip(rows, vectors, strict=True):
        truth = model.decode(vector)
        assert [term["weight"] for term in row["terms"]] == pytest.approx([weight for _, weight in truth], abs=1e-5)
        assert {term["token"] for term in row["terms"]} == {token for token, _ in truth}
        assert row["dimension"] == len(vector)
    lengths = [len(model.tokenizer(text, verbose=False)["input_ids"]) for text in TEXTS]
    assert [row["tokens"] for row in rows] == [min(length, 64) for length in lengths]
    assert [row["truncated"] for row in rows] == [length > 64 for length in lengths]


def test_answers_are_json_as_they_are(artifact, checkpoint):
    rows = json.loads(json.dumps(hfspec.load(artifact("splade")).predict_json(["a", PLAIN])))
    (first, _) = encode(checkpoint("splade"), ["a", PLAIN])
    assert rows[0]["indices"] == np.flatnonzero(first).tolist()
    assert rows[0]["values"] == pytest.approx(first[np.flatnonzero(first)].tolist(), abs=1e-5)


def test_one_text_is_one_row_and_none_are_none(artifact):
    predictor = hfspec.load(artifact("splade"))
    assert len(predictor.predict(PLAIN)) == 1
    assert predictor.predict([]) == []
    assert predictor.predict([], outputs="full") == []


@pytest.mark.parametrize("bad", [None, 5, ["a"], {"txt": "a"}], ids=str)
def test_bad_input_names_the_row(artifact, bad):
    with pytest.raises(InputError) as caught:
        hfspec.load(artifact("splade")).predict([PLAIN, bad])
    assert caught.value.row == 1


def test_an_unknown_prompt_is_refused(artifact):
    with pytest.raises(ParamsError, match="they are: document, query"):
        hfspec.load(artifact("splade"), model_config={"prompt_name": "passage"}).predict(PLAIN)


def test_a_saved_sparse_encoder_answers_with_sparse_rows(build, checkpoint, tmp_path):
    folder = tmp_path / "saved"
    library(checkpoint("splade")).save_pretrained(str(folder), create_model_card=False)
    (folder / "LICENSE").write_text("free\n")
    assert_same(hfspec.load(build(folder, "sparse-embedding")).predict(list(TEXTS)), encode(folder, TEXTS))
