"""Files of a checkpoint that no library reads are named, and not what else failed over them."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

import hfspec
from tests.compiling import write_spec

CONFIGS = (
    "config.json",
    "tokenizer_config.json",
    "tokenizer.json",
    "generation_config.json",
    "special_tokens_map.json",
)


def refusal(spec: Path) -> hfspec.SpecError:
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    assert not list(spec.parent.glob("target*"))
    return caught.value


def marked(path: Path, mark: bytes = codecs.BOM_UTF8, encoding: str = "utf-8") -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else "{}"
    path.write_bytes(mark + text.encode(encoding))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_mark_is_blamed_on_its_file(name, own_copy, tmp_path):
    model = own_copy("gpt2")
    marked(model / name)
    (problem,) = refusal(write_spec(tmp_path / "s", model)).problems
    assert problem.message.startswith(f"{name} begins with a byte-order mark of UTF-8")
    assert problem.remedy == "save it as UTF-8 without a byte-order mark"
    assert problem.path == ("model",)


ENCODINGS = {
    "UTF-16 with its mark": (codecs.BOM_UTF16_LE, "utf-16-le", "begins with a byte-order mark of UTF-16"),
    "UTF-16 the other way": (codecs.BOM_UTF16_BE, "utf-16-be", "begins with a byte-order mark of UTF-16"),
    "UTF-16 without": (b"", "utf-16-le", "is written in UTF-16 and not in UTF-8"),
    "UTF-32": (codecs.BOM_UTF32_LE, "utf-32-le", "begins with a byte-order mark of UTF-32"),
    "UTF-32 without": (b"", "utf-32-be", "is written in UTF-32 and not in UTF-8"),
}


@pytest.mark.parametrize("case", ENCODINGS)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors.index.json"])
def test_other_encodings(name, case, own_copy, tmp_path):
    mark, encoding, said = ENCODINGS[case]
    model = own_copy("gpt2-sharded")
    marked(model / name, mark, encoding)
    (problem,) = refusal(write_spec(tmp_path / "s", model)).problems
    assert problem.message.startswith(f"{name} {said}")


BROKEN = {
    "latin-1": (b'{"a": "caf\xe9"}', "is not UTF-8: the byte 0xe9 in line 1"),
    "empty": (b"", "is not valid JSON: it is empty"),
    "blank": (b" \n", "is not valid JSON: it is empty"),
    "cut off": (b'{"model_type": "gp', "is not valid JSON"),
    "Python": (b"{'model_type': 'gpt2'}", "is not valid JSON"),
    "deep": (b"[" * 200_000, "is not valid JSON"),
    "a list": (b"[]", "holds no JSON object"),
    "a number": (b"7", "holds no JSON object"),
    "null": (b"null", "holds no JSON object"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_no_json_object(name, case, own_copy, tmp_path):
    content, said = BROKEN[case]
    model = own_copy("gpt2")
    (model / name).write_bytes(content)
    (problem,) = refusal(write_spec(tmp_path / "s", model)).problems
    assert problem.message.startswith(f"{name} {said}")


def test_all_at_once(own_copy, tmp_path):
    model = own_copy("gpt2")
    for name in ("config.json", "tokenizer_config.json"):
        marked(model / name)
    (model / "generation_config.json").write_text("{")
    assert [problem.message.split()[0] for problem in refusal(write_spec(tmp_path / "s", model)).problems] == [
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
    ]


def test_vocabularies_and_templates(own_copy, tmp_path):
    """The library takes the mark for a part of the first token, and of each prompt, without a word."""
    model = own_copy("bert-sentiment")
    tokens = json.loads((model / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    (model / "vocab.txt").write_bytes(codecs.BOM_UTF8 + "\n".join(sorted(tokens, key=tokens.get)).encode())
    (model / "chat_template.jinja").write_bytes(codecs.BOM_UTF8 + b"{{ messages }}")
    (model / "merges.txt").write_bytes(b"a b\n\xff c\n")
    assert [problem.message.partition(" ")[0] for problem in refusal(write_spec(tmp_path / "s", model)).problems] == [
        "chat_template.jinja",
        "merges.txt",
        "vocab.txt",
    ]


@pytest.mark.parametrize("name", ["modules.json", "1_Pooling/config.json", "sentence_bert_config.json"])
def test_modules_of_sentences(name, own_copy, tmp_path):
    model = own_copy("minilm-like")
    marked(model / name)
    (problem,) = refusal(write_spec(tmp_path / "s", model)).problems
    assert problem.message.startswith(f"{name} begins with a byte-order mark")


@pytest.mark.parametrize("name", ["preprocessor_config.json", "config.json"])
def test_processors(name, own_copy, tmp_path):
    model = own_copy("vit")
    marked(model / name)
    (problem,) = refusal(write_spec(tmp_path / "s", model, task="image-classification")).problems
    assert problem.message.startswith(f"{name} begins with a byte-order mark")


def test_a_tokenizer_of_its_own_and_an_adapter(own_copy, checkpoint, tmp_path):
    tokenizer, adapter = own_copy("bert-sentiment"), tmp_path / "adapter"
    marked(tokenizer / "tokenizer_config.json")
    adapter.mkdir()
    (adapter / "adapter_config.json").write_bytes(codecs.BOM_UTF8 + b'{"peft_type": "LORA"}')
    (adapter / "adapter_model.safetensors").write_bytes(b"")
    keys = {"components": {"tokenizer": {"path": str(tokenizer)}}, "adapter": {"path": str(adapter)}}
    found = refusal(write_spec(tmp_path / "s", checkpoint("bert-sentiment"), **keys)).problems
    assert [(problem.path, problem.message.split()[0]) for problem in found] == [
        (("components", "tokenizer"), "tokenizer_config.json"),
        (("adapter",), "adapter_config.json"),
    ]


def test_a_mark_before_the_card_is_read_past(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    (model / "README.md").write_bytes(codecs.BOM_UTF8 + b"---\nlicense: mit\n---\n# A model\n")
    assert "mit" in str(hfspec.plan(write_spec(tmp_path / "s", model)).sources[0])
