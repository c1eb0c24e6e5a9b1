"""Folders for vLLM and Text Embeddings Inference: their commands, and what they cannot express."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hfspec
from hfspec.export.engines import ENGINES, script
from hfspec.export.exporting import export
from hfspec.export.facts import facts_of
from hfspec.export.tei import Options as TeiOptions
from hfspec.export.vllm import Options as VllmOptions
from tests.checkpoints.adapters import make_adapter
from tests.compiling import write_spec

STAND_IN = "#!/usr/bin/env python3\nimport json, os, sys\nprint(json.dumps([os.getcwd(), *sys.argv]))\n"


@pytest.fixture
def made(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Callable[..., Path]:
    """``made(name, **keys)``: the artifact of a spec over a tiny checkpoint."""

    def get(name: str, /, **keys: object) -> Path:
        spec = write_spec(tmp_path / "spec", checkpoint(name), **keys)
        return hfspec.compile(spec, output=tmp_path / "artifact", run=False).path

    return get


def command(folder: Path, program: str, tmp_path: Path) -> dict[str, Any]:
    """What the script starts: its options, the last of which come from the caller, and the rest of its words."""
    stand_in = tmp_path / "bin" / program
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)
    environment = {**os.environ, "PATH": f"{stand_in.parent}:{os.environ['PATH']}"}
    said = subprocess.run(
        ["sh", folder / "serve.sh", "--port", "1"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    place, _, *words = json.loads(said.stdout)
    assert Path(place) == folder
    options: dict[str, Any] = {"": []}
    while words:
        word = words.pop(0)
        if not word.startswith("--"):
            options[""].append(word)
        else:
            options[word] = words.pop(0) if words and not words[0].startswith("--") else None
    assert options.pop("--port") == "1"
    return options


def test_vllm_gets_the_model_its_template_and_greedy_search(compiled, tmp_path) -> None:
    artifact, out = compiled("llama-chat").path, tmp_path / "out"
    export("vllm", artifact, out, VllmOptions())
    options = command(out, "vllm", tmp_path)
    assert options[""] == ["serve", "./model"]
    assert options["--dtype"] == "float32"
    assert (out / "chat_template.jinja").read_bytes() == (artifact / "model/chat_template.jinja").read_bytes()
    stated = json.loads((artifact / "model/generation_config.json").read_text())
    sampling = {"max_new_tokens": stated["max_new_tokens"], "temperature": 0.0}
    assert json.loads(options["--override-generation-config"]) == sampling
    assert options["--generation-config"] == "vllm"
    assert set(options) - {""} <= set(ENGINES["vllm"].options)


@pytest.mark.parametrize(
    ("task", "model_config", "expected"),
    [
        ("text-generation", {"do_sample": True, "temperature": 0.7, "top_k": 0}, {"temperature": 0.7, "top_k": -1}),
        ("text-generation", {"do_sample": True, "top_p": 0.9}, {"temperature": 1.0, "top_k": 50, "top_p": 0.9}),
        ("llm/v1/chat", {"temperature": 0.5}, {"temperature": 0.5, "top_k": 50}),
        ("llm/v1/chat", {"temperature": 0.0}, {"temperature": 0.0}),
        ("llm/v1/completions", {"max_tokens": 7}, {"temperature": 0.0, "max_new_tokens": 7}),
        ("text-generation", {"repetition_penalty": 1.2}, {"temperature": 0.0, "repetition_penalty": 1.2}),
        ("llm/v1/chat", {"presence_penalty": 0.5}, {"temperature": 0.0, "presence_penalty": 0.5}),
    ],
    ids=str,
)
def test_vllm_samples_exactly_where_the_artifact_does(task, model_config, expected, made, tmp_path) -> None:
    export("vllm", made("llama-chat", task=task, model_config=model_config), tmp_path / "out", VllmOptions())
    options = command(tmp_path / "out", "vllm", tmp_path)
    assert json.loads(options["--override-generation-config"]) == {"max_new_tokens": 12, **expected}


def test_vllm_gets_a_plain_adapter_under_the_models_name(made, checkpoint, tmp_path) -> None:
    adapter = {"path": str(checkpoint("opt-lora")), "allow_base_mismatch": "a test"}
    keys = {"name": "mine", "task": "text-generation", "adapter": adapter}
    artifact = made("opt", **keys)
    export("vllm", artifact, tmp_path / "out", VllmOptions())
    options = command(tmp_path / "out", "vllm", tmp_path)
    assert (options["--enable-lora"], options["--lora-modules"]) == (None, "mine=./adapter")
    rank = json.loads((artifact / "adapter/adapter_config.json").read_text())["r"]
    assert int(options["--max-lora-rank"]) >= rank
    assert (tmp_path / "out/adapter/adapter_config.json").is_file()
    assert options["--served-model-name"] != "mine"


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("bert-sentiment", {}, ["task: text-classification"]),
        ("llama-chat", {"prompt_template": "Say: {prompt}"}, ["prompt_template"]),
        ("llama-chat", {"dtype": "float64"}, ["dtype: float64"]),
        (
            "llama-chat",
            {"model_config": {"num_beams": 2, "truncation": True}},
            ["num_beams is 2", "truncation is True"],
        ),
        (
            "llama-chat",
            {"model_config": {"stop_strings": ["x"], "return_full_text": True}},
            ["stop_strings", "full_text"],
        ),
        ("llama-chat", {"model_config": {"do_sample": True, "seed": 3}}, ["seed is 3"]),
        ("llama-chat", {"model_config": {"eos_token_id": 5}}, ["eos_token_id is 5"]),
        ("gpt2", {"adapter": "gpt2-lora"}, ["adapter: bias"]),
        ("gpt2", {"adapter": "gpt2-prompt"}, ["adapter: PROMPT_TUNING"]),
        ("llama-chat", {"adapter": "llama-dora"}, ["use_dora"]),
    ],
    ids=str,
)
def test_what_vllm_cannot_express_is_named_and_nothing_is_written(name, keys, said, made, checkpoint, tmp_path) -> None:
    if "adapter" in keys:
        adapter = make_adapter(keys["adapter"], checkpoint(name), tmp_path / "adapter")
        keys = {**keys, "adapter": {"path": str(adapter)}}
    with pytest.raises(hfspec.UsageError, match="vllm cannot express") as caught:
        export("vllm", made(name, **keys), tmp_path / "out", VllmOptions())
    assert all(each in str(caught.value) for each in said)
    assert not (tmp_path / "out").exists()


def test_tei_gets_a_model_that_sentence_transformers_loads_to_the_same_vectors(made, tmp_path) -> None:
    from sentence_transformers import SentenceTransformer

    artifact = made("minilm-like", serving={"limits": {"rows": 16}})
    export("tei", artifact, tmp_path / "out", TeiOptions())
    options = command(tmp_path / "out", "text-embeddings-router", tmp_path)
    assert options["--model-id"] == "./model"
    assert (options["--auto-truncate"], options["--max-client-batch-size"]) == ("true", "16")
    texts = ["a fine film", "a dull one"]
    theirs = SentenceTransformer(str(tmp_path / "out" / "model"), device="cpu").encode(texts)
    np.testing.assert_allclose(theirs, hfspec.load(artifact).predict(texts), atol=1e-6)
    assert set(options) - {""} <= set(ENGINES["tei"].options)


@pytest.mark.parametrize(
    ("name", "keys", "expected"),
    [
        ("minilm-like", {"model_config": {"prompt": "query: "}}, {"--default-prompt": "query: "}),
        ("bert-sentiment", {"model_config": {"truncation": True}}, {"--auto-truncate": "true"}),
        ("bert-sentiment", {"dtype": "float16"}, {"--dtype": "float16", "--auto-truncate": "false"}),
    ],
    ids=str,
)
def test_tei_gets_what_the_spec_says(name, keys, expected, made, tmp_path) -> None:
    export("tei", made(name, **keys), tmp_path / "out", TeiOptions())
    assert expected.items() <= command(tmp_path / "out", "text-embeddings-router", tmp_path).items()


@pytest.mark.parametrize(
    ("name", "keys", "said"),
    [
        ("llama-chat", {}, ["task: text-generation"]),
        (
            "minilm-like",
            {"model_config": {"truncate_dim": 8, "precision": "binary"}},
            ["truncate_dim is 8", "precision is"],
        ),
        ("minilm-like", {"dtype": "bfloat16"}, ["dtype: bfloat16"]),
        (
            "bert-sentiment",
            {"model_config": {"top_k": 2, "function_to_apply": "none"}},
            ["top_k is 2", "function_to_apply"],
        ),
        ("bert-toxic", {}, ["problem_type"]),
        ("ce-msmarco", {"library": "sentence-transformers", "task": "text-ranking"}, ["identity"]),
    ],
    ids=str,
)
def test_what_tei_cannot_express_is_named_and_nothing_is_written(name, keys, said, made, tmp_path) -> None:
    with pytest.raises(hfspec.UsageError, match="tei cannot express") as caught:
        export("tei", made(name, **keys), tmp_path / "out", TeiOptions())
    assert all(each in str(caught.value) for each in said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option", [("--no-such", "x"), ("--dtype", "bfloat16"), ("--dtype", None), ("--max-client-batch-size", "many")]
)
def test_an_option_that_the_engine_does_not_have_is_a_fault(option, compiled) -> None:
    with pytest.raises(ValueError, match=option[0]):
        script(ENGINES["tei"], facts_of(compiled("bert-sentiment").path), [option])
