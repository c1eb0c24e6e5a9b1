"""Files of a model of ONNX Runtime's generate() that do not fit together, refused before anything is loaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import hfspec
from tests.compiling import write_spec

CONFIG = "genai_config.json"


@pytest.fixture
def said(checkpoint, tmp_path):
    """``said(change, **keys)``: what a plan of a changed copy of the model is refused with."""

    def refused(change=None, **keys):
        model = Path(shutil.copytree(checkpoint("genai-llama"), tmp_path / "model"))
        if change is not None:
            change(model)
        keys = {"library": "onnxruntime-genai", "task": "text-generation", **keys}
        with pytest.raises(hfspec.HfspecError) as caught:
            hfspec.plan(write_spec(tmp_path / "s", model, **keys))
        return str(caught.value)

    return refused


def cut(name, size):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:size])


def written(name, text):
    return lambda folder: (folder / name).write_text(text)


def elsewhere(folder):
    """The graph with its weights in a file outside of the model's folder."""
    content = (folder / "model.onnx").read_bytes()
    (folder / "model.onnx").write_bytes(content.replace(b"model.onnx.data", b"../el.onnx.data"))


def gone(name):
    return lambda folder: (folder / name).unlink()


def configured(value, *path):
    """The config with another value at a path."""

    def change(folder):
        document = json.loads((folder / CONFIG).read_text())
        place = document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        (folder / CONFIG).write_text(json.dumps(document))

    return change


def stamped(folder):
    """The graph stamped with a set of operators that there is none of yet."""
    content = (folder / "model.onnx").read_bytes()
    place = content.rfind(bytes([0x10, 22]))  # the version, field 2, of the last set
    (folder / "model.onnx").write_bytes(content[: place + 1] + bytes([99]) + content[place + 2 :])


def taught(folder):
    """The tokenizer with a word of a number that the model has none for."""
    document = json.loads((folder / "tokenizer.json").read_text())
    document["added_tokens"].append({**document["added_tokens"][-1], "id": 5000, "content": "<|new|>"})
    (folder / "tokenizer.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (taught, "and the model knows 400 tokens"),
        (cut("model.onnx", 5000), "model.onnx is cut short: a field at byte"),
        (cut("model.onnx", 0), "model.onnx is empty"),
        (written("model.onnx", "<html>not found</html>" * 50), "model.onnx is no ONNX graph"),
        (written("model.onnx", "version https://git-lfs.github.com/spec/v1\n"), "model.onnx is"),
        (elsewhere, "in '../el.onnx.data', which is not the relative path of a file beside the graph"),
        (stamped, "Opset 99 is under development"),
        (gone("model.onnx"), "names the graph model.onnx, which is not there"),
        (gone("model.onnx.data"), "keeps weights in model.onnx.data, which is not beside it"),
        (cut("model.onnx.data", 1000), "model.onnx.data is too short for the weights"),
        (written(CONFIG, "{not"), f"{CONFIG} is not valid JSON"),
        (written(CONFIG, "[]"), f"{CONFIG} holds no JSON object"),
        (written(CONFIG, "{}"), "model cannot be used; expected a mapping"),
        (gone(CONFIG), f"has no {CONFIG}"),
        (configured("other.onnx", "model", "decoder", "filename"), "names the graph other.onnx"),
        (configured("../x.onnx", "model", "decoder", "filename"), "expected the name of the graph's file"),
        (configured(300, "model", "vocab_size"), "chooses among 400 tokens"),
        (configured(0, "model", "context_length"), "expected a number of tokens, at least 1; found 0"),
        (configured(True, "model", "context_length"), "expected a number of tokens, at least 1; found True"),
        (configured([1, 4000], "model", "eos_token_id"), "expected a token's number, below 400; found 4000"),
        (configured(None, "model", "bos_token_id"), "expected a token's number, or no such key; found null"),
        (configured({}, "model", "vision"), "only models for text, of one graph, can be run"),
        (configured([], "model", "decoder", "pipeline"), "only models of one graph can be run"),
        (configured("evil.so", "model", "decoder", "session_options", "custom_ops_library"), "it is code"),
        (configured({"input_ids": "ids"}, "model", "decoder", "inputs"), "input_ids names ids"),
        (configured(9, "model", "decoder", "num_hidden_layers"), "names past_key_values.2.key"),
        (configured(-5, "search", "top_k"), "search.top_k cannot be used; expected integer, at least 0; found -5"),
        (gone("tokenizer.json"), "the model has no tokenizer"),
        (written("tokenizer.json", "{}"), "tokenizer.json makes no tokenizer"),
    ],
)
def test_damaged_files_are_refused_with_place_cause_and_remedy(said, change, expected):
    message = said(change)
    assert expected in message
    assert "spec.yaml:4:" in message


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (gone("chat_template.jinja"), "has no chat template"),
        (written("chat_template.jinja", "{{ x.y.z }"), "refuses one short message"),
    ],
)
def test_a_chat_needs_a_template_that_works(said, change, expected):
    assert expected in said(change, task="llm/v1/chat")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"dtype": "bfloat16"}, "`dtype` does nothing for a model of onnxruntime-genai"),
        ({"runtime": {"backend": "torch"}}, "`runtime.backend` does nothing"),
        ({"runtime": {"compute_dtype": "float32"}}, "`runtime.compute_dtype` does nothing"),
        ({"runtime": {"device_map": "auto"}}, "puts a model on one device"),
        ({"allow_architecture_mismatch": "x"}, "`allow_architecture_mismatch` does nothing"),
        ({"components": {"tokenizer": {"path": "x"}}}, "uses no tokenizer"),
        ({"model_config": {"min_p": 0.1}}, "has no setting `min_p`"),
        ({"model_config": {"num_beams": 33}}, "at most 32"),
        ({"task": "text-classification"}, "has no task 'text-classification'"),
        ({"model": {"path": "../model", "folder": "gpu"}}, "has no folder gpu"),
        ({"model": {"path": "../model", "folder": "../x"}}, "The value of `folder` is not allowed"),
        ({"library": "transformers", "model": {"path": "../model", "folder": "x"}}, "has no folder x; its folders"),
    ],
)
def test_keys_of_the_spec_that_cannot_be(said, keys, expected):
    assert expected in said(**keys)


def test_of_several_models_one_is_named(checkpoint, tmp_path):
    for name in ("a", "b"):
        shutil.copytree(checkpoint("genai-llama"), tmp_path / "model" / name)
    keys = {"library": "onnxruntime-genai", "task": "text-generation"}
    with pytest.raises(hfspec.SourceError, match="name one as the model's `folder`: a, b"):
        hfspec.plan(write_spec(tmp_path / "s", tmp_path / "model", **keys))
    model = {"path": str(tmp_path / "model"), "folder": "b"}
    steps = hfspec.plan(write_spec(tmp_path / "s", tmp_path / "model", **keys, model=model)).steps
    assert {step.path.partition("/")[0] for step in steps if step.target.startswith("model/")} == {"b"}
