"""Models of sentence-transformers without a model of transformers are said to be not supported yet."""

from __future__ import annotations

import json

import pytest
from sentence_transformers import SentenceTransformer, SparseEncoder
from sentence_transformers.models import BoW, Router, StaticEmbedding
from sentence_transformers.sparse_encoder.models import SparseStaticEmbedding
from tokenizers import Tokenizer
from transformers import AutoTokenizer

import hfspec
from hfspec.cli.exit_codes import exit_code
from hfspec.errors import SourceError
from tests.compiling import refusal, write_spec

DENSE = ["feature-extraction", "llm/v1/embeddings", "sentence-similarity"]


@pytest.fixture
def made(tmp_path, checkpoint):
    """``made(kind)``: a folder that the library saved such a model into."""
    words = Tokenizer.from_file(str(checkpoint("minilm-like") / "tokenizer.json"))

    def static() -> StaticEmbedding:
        return StaticEmbedding(words, embedding_dim=8)

    def make(kind: str):
        folder = tmp_path / kind
        if kind == "static":
            SentenceTransformer(modules=[static()], device="cpu").save(str(folder))
        elif kind == "router":
            router = Router.for_query_document([static()], [static()])
            SentenceTransformer(modules=[router], device="cpu").save(str(folder))
        elif kind == "words":
            SentenceTransformer(modules=[BoW(["good", "bad"])], device="cpu").save(str(folder))
        else:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint("splade"))
            SparseEncoder(modules=[SparseStaticEmbedding(tokenizer)], device="cpu").save(str(folder))
        return folder

    return make


@pytest.mark.parametrize("task", DENSE)
@pytest.mark.parametrize("kind", ["static", "router", "words"])
def test_dense_models(made, tmp_path, kind, task):
    spec = write_spec(tmp_path / "s", made(kind), library="sentence-transformers", task=task)
    (problem,) = refusal(spec).problems
    assert problem.code == "not-supported-yet"
    assert {"static": "StaticEmbedding", "router": "Router", "words": "BoW"}[kind] in problem.message


def test_a_static_sparse_encoder(made, tmp_path):
    spec = write_spec(tmp_path / "s", made("sparse"), library="sentence-transformers", task="sparse-embedding")
    (problem,) = refusal(spec).problems
    assert problem.code == "not-supported-yet"
    assert "SparseStaticEmbedding" in problem.found


def test_without_the_library_too(made, tmp_path):
    spec = write_spec(tmp_path / "s", made("static"), library="transformers", task="llm/v1/embeddings")
    assert [problem.code for problem in refusal(spec).problems] == ["not-supported-yet"]


def test_the_exit_code_is_that_of_a_spec(made, tmp_path):
    spec = write_spec(tmp_path / "s", made("static"), library="sentence-transformers", task="feature-extraction")
    assert exit_code(refusal(spec)) == 1


@pytest.mark.parametrize("entries", [[{"type": "sentence_transformers.models.Transformer", "path": ""}], []])
def test_a_source_that_lacks_its_model_is_still_none(made, tmp_path, entries):
    folder = made("static")
    (folder / "modules.json").write_text(json.dumps(entries))
    spec = write_spec(tmp_path / "s", folder, library="sentence-transformers", task="feature-extraction")
    with pytest.raises(SourceError, match=r"no config\.json"):
        hfspec.plan(spec)
