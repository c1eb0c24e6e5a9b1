"""The names of the files that a tokenizer is read from."""

from __future__ import annotations

# A tokenizer without any of these is made up by the library, with special tokens and nothing else.
VOCABULARIES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "spiece.model",
    "sentencepiece.bpe.model",
    "tokenizer.model",
    "source.spm",
    "spm.model",
    "bpe.codes",
    "tekken.json",
    "vocab",
    "vocab-src.json",
    "byte_maps.json",
    "prophetnet.tokenizer",
)
AROUND = (
    "config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "merges.txt",
    "chat_template.jinja",
    "target.spm",
    "normalizer.json",
    "bpe.vocab",
    "target_vocab.json",
    "vocab-tgt.json",
    "entity_vocab.json",
    "dict.txt",
    "emoji.json",
    "word_pronunciation.json",
    "word_shape.json",
)
