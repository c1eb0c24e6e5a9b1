"""The tiny encoder-decoder models are what the other tests believe they are."""

from __future__ import annotations

import pytest

from tests.checkpoints.seq2seq import MAKERS

pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
TEXTS = ["a fine film", "hello world, this is it!", "", "Translate English to French: 5 dogs"]


@pytest.mark.parametrize("name", MAKERS)
def test_they_load_whole_and_tell_texts_apart(name, checkpoint):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint(name))
    model, info = AutoModelForSeq2SeqLM.from_pretrained(checkpoint(name), output_loading_info=True)
    assert not any(info.values()), info
    assert max(words.get_vocab().values()) < model.config.vocab_size
    for text in TEXTS:
        assert words.decode(words(text)["input_ids"], skip_special_tokens=True) == text
    model.generation_config.max_length = None
    settings = {"max_new_tokens": 9, "num_beams": 1, "forced_bos_token_id": words("dog")["input_ids"][0]}
    made = [model.generate(**words(text, return_tensors="pt"), **settings) for text in TEXTS]
    assert len({tuple(answer[0].tolist()) for answer in made}) > 2
