"""Which files are taken, by their names."""

from __future__ import annotations

import pytest

from hfspec.errors import SourceError
from hfspec.sources.selection import module_folders, select_component, select_model

BASE = ["config.json", "tokenizer.json", "tokenizer_config.json", "README.md"]
SHARDS = [f"model-0000{n}-of-00002.safetensors" for n in (1, 2)]
BIN_SHARDS = [f"pytorch_model-0000{n}-of-00002.bin" for n in (1, 2)]

INDEX = "model.safetensors.index.json"
BIN_INDEX = "pytorch_model.bin.index.json"

WEIGHTS = {
    "one file": (["model.safetensors"], ["model.safetensors"]),
    "shards": ([*SHARDS, INDEX], [*SHARDS, INDEX]),
    "one file and shards": (["model.safetensors", *SHARDS, INDEX], ["model.safetensors"]),
    "both formats": (["model.safetensors", "pytorch_model.bin"], ["model.safetensors"]),
    "shards and one pickle": (
        [*SHARDS, "model.safetensors.index.json", "pytorch_model.bin"],
        [*SHARDS, INDEX],
    ),
    "a pickle only": (["pytorch_model.bin", "training_args.bin"], ["pytorch_model.bin"]),
    "pickled shards": ([*BIN_SHARDS, BIN_INDEX], [*BIN_SHARDS, BIN_INDEX]),
    "a variant beside": (["model.safetensors", "model.fp16.safetensors"], ["model.safetensors"]),
    "the authors' own format beside": (["model.safetensors", "consolidated.safetensors"], ["model.safetensors"]),
    "every framework": (
        ["model.safetensors", "tf_model.h5", "flax_model.msgpack", "rust_model.ot", "onnx/model.onnx"],
        ["model.safetensors"],
    ),
    "shards that the index does not name": ([*SHARDS, "model-3.safetensors", INDEX], [*SHARDS, INDEX]),
    "two indexes": ([*SHARDS, INDEX, *BIN_SHARDS, BIN_INDEX], [*SHARDS, INDEX]),
    "an index whose shards are not there, and others": ([INDEX, *BIN_SHARDS, BIN_INDEX], [*BIN_SHARDS, BIN_INDEX]),
    "an index without shards": ([INDEX], [INDEX]),
    "a gguf beside": (["model.safetensors", "model-q4.gguf"], ["model.safetensors"]),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_in_one_format_only(case):
    names, wanted = WEIGHTS[case]
    chosen = select_model([*BASE, *names], "x", shards={INDEX: SHARDS, BIN_INDEX: BIN_SHARDS})
    assert set(chosen.needed) == {*BASE, *wanted}
    assert {name for name, _ in chosen.skipped} == set(names) - set(wanted)
    assert list(chosen.needed) == sorted(chosen.needed)


KEPT = """
generation_config.json vocab.txt vocab.json merges.txt special_tokens_map.json added_tokens.json spiece.model
sentencepiece.bpe.model tokenizer.model source.spm target.spm qwen.tiktoken tekken.json chat_template.jinja
chat_template.json additional_chat_templates/tools.jinja preprocessor_config.json processor_config.json
LICENSE LICENSE.txt license.md LICENCE NOTICE NOTICE.txt USE_POLICY.md
"""


@pytest.mark.parametrize("name", KEPT.split())
def test_files_that_are_kept(name):
    chosen = select_model([*BASE, "model.safetensors", name], "x")
    assert name in chosen.needed
    assert chosen.skipped == ()


SKIPPED = {
    "tf_model.h5": "TensorFlow",
    "saved_model/saved_model.pb": "TensorFlow",
    "model.tflite": "TensorFlow",
    "flax_model.msgpack": "Flax",
    "rust_model.ot": "rust-bert",
    "onnx/model.onnx": "ONNX",
    "onnx/tokenizer.json": "ONNX",
    "onnx/model.onnx_data": "ONNX",
    "openvino/openvino_model.bin": "OpenVINO",
    "openvino_model.xml": "OpenVINO",
    "coreml/a/b.mlpackage/weight.bin": "Core ML",
    "model.gguf": "llama.cpp",
    "pytorch_model.bin": "pickled",
    "model.fp16.safetensors": "not the weights",
    "training_args.bin": "training",
    "optimizer.pt": "training",
    "events.out.tfevents.1": "training",
    "modeling_x.py": "code",
    "checkpoint-100/model.safetensors": "not the weights",
    ".gitattributes": "repository",
    "image.png": "not used",
    "README.md.txt": "not used",
    "my_config.json": "not used",
}


@pytest.mark.parametrize("name", SKIPPED)
def test_files_that_are_left_and_why(name):
    chosen = select_model([*BASE, "model.safetensors", name], "x")
    assert name not in chosen.needed
    ((skipped, reason),) = chosen.skipped
    assert skipped == name
    assert SKIPPED[name] in reason


def test_module_folders_of_a_sentence_transformer():
    names = [
        "modules.json",
        "config.json",
        "model.safetensors",
        "sentence_bert_config.json",
        "sentence_xlm-roberta_config.json",
        "config_sentence_transformers.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "2_Dense/model.safetensors",
        "2_Dense/pytorch_model.bin",
        "3_Other/config.json",
    ]
    chosen = select_model(names, "x", ("", "1_Pooling", "2_Dense", "3_Normalize"))
    assert set(names) - set(chosen.needed) == {"2_Dense/pytorch_model.bin", "3_Other/config.json"}


def test_a_transformer_in_a_folder_of_its_own():
    names = ["modules.json", "0_Transformer/config.json", "0_Transformer/pytorch_model.bin", "0_Transformer/vocab.txt"]
    assert select_model(names, "x", ("0_Transformer",)).needed == tuple(sorted(names))


def test_module_folders_come_from_modules_json():
    text = b'[{"path": "", "type": "a"}, {"path": "1_Pooling/", "type": "b"}, {"path": "2_Dense", "type": "c"}]'
    assert module_folders(text) == ("", "1_Pooling", "2_Dense")


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b"[{}]", b'[{"path": 1}]', b"\xff"])
def test_modules_json_that_is_none(text):
    with pytest.raises(ValueError, match=r"."):
        module_folders(text)


UNUSABLE = {
    "nothing": ([], "no config.json and no weights .*Found there: no files."),
    "no weights": (BASE, "it has no weights .*Found there: README.md, config.json"),
    "no config": (["model.safetensors"], "it has no config.json. Found there: model.safetensors."),
    "other frameworks only": ([*BASE, "tf_model.h5", "onnx/model.onnx"], "no weights .*tf_model.h5"),
    "weights in another folder": ([*BASE, "fp16/model.safetensors"], "no weights"),
    "a hundred files": ([f"{n:03}.txt" for n in range(100)], "019.txt, and 80 more."),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_what_cannot_be_used(case):
    names, message = UNUSABLE[case]
    with pytest.raises(SourceError, match=message) as caught:
        select_model(names, "some/where")
    assert str(caught.value).startswith("some/where cannot be used as a checkpoint")


def test_a_tokenizer_alone():
    names = [*BASE, "model.safetensors", "vocab.txt", "chat_template.jinja", "generation_config.json"]
    wanted = ("README.md", "chat_template.jinja", "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt")
    assert select_component("tokenizer", names, "x").needed == wanted


def test_no_tokenizer():
    with pytest.raises(SourceError, match=r"x has no tokenizer files. Found there: config.json."):
        select_component("tokenizer", ["config.json"], "x")
