"""Embeddings in the OpenAI API's objects: those of sentence-transformers itself, whichever library the spec names."""

from __future__ import annotations

import base64
import json
import shutil
from functools import cache

import numpy as np
import pytest
from openai.types import CreateEmbeddingResponse

import hfspec
from hfspec.errors import InputError
from tests.runtime.texts import MIXED, shuffled

LIBRARIES = ["transformers", "sentence-transformers"]
TWO = ["a fine film", "hello world, this is a short text"]


@cache
def reference(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")


@pytest.fixture
def embed(build, checkpoint):
    def load(name="minilm-like", library="sentence-transformers", **keys):
        folder = name if not isinstance(name, str) else checkpoint(name)
        return hfspec.load(build(folder, "llm/v1/embeddings", library=library, **keys))

    return load


def vectors(made):
    return np.array([entry["embedding"] for entry in made["data"]], dtype=np.float32)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", ["minilm-like", "st-dense"])
@pytest.mark.parametrize("batch_tokens", [1, 100_000])
def test_embeddings_are_the_models_own_by_either_library(embed, checkpoint, library, name, batch_tokens):
    texts = [text for text in shuffled(MIXED, seed=batch_tokens) if len(text) < 60]
    made = embed(name, library, model_config={"batch_tokens": batch_tokens}).predict({"input": texts})
    truth = np.stack([reference(checkpoint(name)).encode(text) for text in texts])
    assert np.abs(vectors(made) - truth).max() < 1e-5
    assert [entry["index"] for entry in made["data"]] == list(range(len(texts)))


def test_they_are_not_those_of_the_first_token(embed, checkpoint):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = checkpoint("minilm-like")
    words, model = AutoTokenizer.from_pretrained(str(folder)), AutoModel.from_pretrained(str(folder))
    with torch.no_grad():
        first = model(**words(TWO[1], return_tensors="pt")).last_hidden_state[0, 0].numpy()
    mine = vectors(embed(library="transformers").predict(TWO[1]))[0]
    assert abs(np.linalg.norm(mine) - 1) < 1e-5
    assert mine @ first / np.linalg.norm(first) < 0.9


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_object_is_json_that_openai_accepts(embed, checkpoint, library):
    predictor = embed(library=library)
    made = predictor.predict({"input": TWO, "model": "x", "user": "u", "encoding_format": "float"})
    assert json.loads(json.dumps(made)) == made
    parsed = CreateEmbeddingResponse.model_validate(made, strict=True)
    read = sum(len(reference(checkpoint("minilm-like")).tokenizer(text)["input_ids"]) for text in TWO)
    assert parsed.usage.to_dict() == {"prompt_tokens": read, "total_tokens": read}
    assert parsed.model == predictor.manifest.name


def test_base64_holds_the_same_numbers(embed):
    predictor = embed()
    plain = predictor.predict({"input": TWO})
    packed = predictor.predict({"input": TWO, "encoding_format": "base64"})
    unpacked = [np.frombuffer(base64.b64decode(entry["embedding"]), dtype="<f4") for entry in packed["data"]]
    assert np.array_equal(np.stack(unpacked), vectors(plain))


@pytest.mark.parametrize("library", LIBRARIES)
def test_dimensions_cuts_and_scales_again_what_was_of_length_one(embed, checkpoint, library):
    made = embed(library=library).predict({"input": TWO, "dimensions": 8})
    cut = reference(checkpoint("minilm-like")).encode(TWO)[:, :8]
    assert np.abs(vectors(made) - cut / np.linalg.norm(cut, axis=1, keepdims=True)).max() < 1e-5


@pytest.mark.parametrize("task", ["llm/v1/embeddings", "feature-extraction"])
def test_a_width_set_at_load_is_that_of_every_answer(build, checkpoint, task):
    folder = build(checkpoint("st-dense"), task, library="sentence-transformers")
    predictor = hfspec.load(folder, model_config={"truncate_dim": 5}).over_task("llm/v1/embeddings")
    made = predictor.predict({"input": TWO})
    truth = reference(checkpoint("st-dense")).encode(TWO, truncate_dim=5)
    assert np.abs(vectors(made) - truth / np.linalg.norm(truth, axis=1, keepdims=True)).max() < 1e-5


def test_each_request_has_its_own_dimensions(embed):
    predictor = embed()
    made = predictor.predict([{"input": TWO, "dimensions": size} for size in (4, 8)] + [{"input": TWO[0]}])
    assert [vectors(one).shape for one in made] == [(2, 4), (2, 8), (1, 32)]
    assert np.allclose(vectors(made[2])[0], vectors(predictor.predict(TWO))[0], atol=1e-6)


def test_without_modules_it_is_the_mean_of_the_tokens_and_the_plan_says_so(build, checkpoint, tmp_path):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = tmp_path / "plain-bert"
    shutil.copytree(checkpoint("minilm-like"), folder)
    for path in ("modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"):
        (folder / path).unlink()
    spec = tmp_path / "plain.yaml"
    keys = {"spec_version": 1, "library": "transformers", "task": "llm/v1/embeddings", "model": {"path": str(folder)}}
    spec.write_text(json.dumps(keys), encoding="utf-8")
    assert any("mean of the hidden states" in note for note in hfspec.plan(spec).notes)
    words, model = AutoTokenizer.from_pretrained(str(folder)), AutoModel.from_pretrained(str(folder))
    with torch.no_grad():
        truth = [model(**words(text, return_tensors="pt")).last_hidden_state[0].mean(0).numpy() for text in TWO]
    made = hfspec.load(build(folder, "llm/v1/embeddings")).predict({"input": TWO})
    assert np.abs(vectors(made) - np.stack(truth)).max() < 1e-5


def test_a_causal_model_without_modules_gives_its_last_token(build, checkpoint):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = checkpoint("llama-chat")
    words, model = AutoTokenizer.from_pretrained(str(folder)), AutoModel.from_pretrained(str(folder))
    with torch.no_grad():
        truth = [model(**words(text, return_tensors="pt")).last_hidden_state[0, -1].numpy() for text in TWO]
    made = hfspec.load(build(folder, "llm/v1/embeddings")).predict({"input": TWO})
    assert np.abs(vectors(made) - np.stack(truth)).max() < 1e-5


def test_every_form_of_input(embed):
    import pandas as pd

    predictor = embed()
    truth = vectors(predictor.predict({"input": TWO}))
    assert np.array_equal(vectors(predictor.predict(TWO)), truth)
    assert np.allclose(vectors(predictor.predict(TWO[0])), truth[:1], atol=1e-6)
    assert np.array_equal(vectors(predictor.predict([{"input": TWO}])[0]), truth)
    frame = predictor.predict(pd.DataFrame({"input": TWO}))
    assert [vectors(one).shape for one in frame] == [(1, 32), (1, 32)]
    assert predictor.predict([]) == []


def test_full_output_is_a_dict_a_text(embed):
    rows = embed().predict([{"input": TWO}, {"input": "word " * 200}], outputs="full")
    assert [(row["request"], row["index"], row["truncated"]) for row in rows] == [
        (0, 0, False),
        (0, 1, False),
        (1, 0, True),
    ]


def test_text_that_is_too_long_is_cut_or_refused_as_the_librarys_users_expect(embed, checkpoint):
    long = "word " * 200
    truth = reference(checkpoint("minilm-like")).encode(long)
    assert np.abs(vectors(embed().predict(long))[0] - truth).max() < 1e-5
    with pytest.raises(InputError, match="row 0: input 1 has more than the 128 tokens that the model reads"):
        embed(library="transformers").predict({"input": ["a", long]})
    cut = embed(library="transformers", model_config={"truncation": True})
    assert np.abs(vectors(cut.predict(long))[0] - truth).max() < 1e-5


BAD = [
    ({}, "row 0: the request has no input"),
    ({"inputs": TWO}, "no key 'inputs'.*did you mean 'input'"),
    ({"input": []}, "input: the list has no texts"),
    ({"input": None}, "the request has no input"),
    ({"input": [1, 2]}, "input: tokens are not taken"),
    ({"input": ["a", None]}, "the value is missing"),
    ({"input": "a", "dimensions": 0}, "dimensions: expected integer"),
    ({"input": "a", "dimensions": 33}, "dimensions: the model's embeddings have 32"),
    ({"input": "a", "encoding_format": "hex"}, "encoding_format: expected float or base64"),
    ([{"input": "a"}, 5], "row 1: expected a request"),
    (5, "expected a request"),
]


@pytest.mark.parametrize(("data", "message"), BAD)
def test_bad_requests_are_refused_by_row(embed, data, message):
    with pytest.raises(InputError, match=message):
        embed().predict(data)


def test_every_answer_says_which_space_it_is_of(embed):
    predictor = embed()
    whole, cut = predictor.predict([{"input": TWO}, {"input": TWO, "dimensions": 8}])
    assert whole["fingerprint"] != cut["fingerprint"]
    rows = predictor.predict([{"input": TWO[0]}, {"input": TWO[0], "dimensions": 8}], outputs="full")
    assert [row["fingerprint"] for row in rows] == [whole["fingerprint"], cut["fingerprint"]]
    assert embed(library="transformers").predict(TWO)["fingerprint"] == whole["fingerprint"]
