"""One text goes through the tokenizer at plan time."""

from __future__ import annotations

import json

import pytest

from tests.compiling import refusal, write_spec


@pytest.mark.parametrize("name", ["bert-sentiment", "bert-ner"])
def test_a_tokenizer_that_fails_over_a_text_is_refused(own_copy, tmp_path, name):
    """Its token for unknown words is not in its vocabulary: words that it knows would work, any other would fail."""
    folder = own_copy(name)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    content["model"] = {"type": "WordLevel", "vocab": {"[PAD]": 0, "film": 1}, "unk_token": "[NOWHERE]"}
    content["added_tokens"], content["post_processor"] = [], None
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    task = {"bert-sentiment": "text-classification", "bert-ner": "token-classification"}[name]
    found = refusal(write_spec(tmp_path / "s", folder, task=task)).problems
    assert [
        "no tokens of a plain text" in problem.message for problem in found if problem.code == "broken-tokenizer"
    ] == [True]
