"""Models whose answers are tokens' own: taggers, fillers of masks, and the bare encoder that the latter hold."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import BERT_SIZES, ROBERTA_SIZES, labels
from tests.checkpoints.writing import write

CONLL = ["O", "B-MISC", "I-MISC", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"]
DISTILBERT_SIZES = {"dim": 32, "hidden_dim": 64, "n_layers": 2, "n_heads": 4, "max_position_embeddings": 128}


def bert_ner(folder: Path) -> None:
    from transformers import BertConfig, BertForTokenClassification

    tokenizer = vocabulary.wordpiece(128)
    config = BertConfig(vocab_size=len(tokenizer), **BERT_SIZES, **labels(CONLL))
    write(folder, BertForTokenClassification(config), tokenizer, seed=31, licence=True)


def roberta_ner(folder: Path) -> None:
    """Its vocabulary has no mark for what continues a word."""
    from transformers import RobertaConfig, RobertaForTokenClassification

    tokenizer = vocabulary.roberta(128)
    config = RobertaConfig(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=2, **ROBERTA_SIZES, **labels(CONLL))
    write(folder, RobertaForTokenClassification(config), tokenizer, seed=32)


def gpt2_ner(folder: Path) -> None:
    """Its tokens hold the space before them."""
    _gpt2_tagger(folder, vocabulary.gpt2(128))


def wordless_ner(folder: Path) -> None:
    """A byte-level BPE over whole texts, not over words."""
    from tokenizers import pre_tokenizers

    tokenizer = vocabulary.gpt2(128)
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False, use_regex=False)
    tokenizer.backend_tokenizer.pre_tokenizer = whole
    _gpt2_tagger(folder, tokenizer)
    config = folder / "tokenizer_config.json"  # the class of GPT-2 puts its own pre-tokenizer back
    config.write_text(config.read_text().replace("GPT2Tokenizer", "PreTrainedTokenizerFast"))


def _gpt2_tagger(folder: Path, tokenizer) -> None:
    from transformers import GPT2Config, GPT2ForTokenClassification

    sizes = {"n_positions": 128, "n_embd": 32, "n_layer": 2, "n_head": 4}
    config = GPT2Config(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0, **sizes, **labels(CONLL))
    write(folder, GPT2ForTokenClassification(config), tokenizer, seed=36)


def bert_mlm(folder: Path) -> None:
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = vocabulary.wordpiece(128)
    write(folder, BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **BERT_SIZES)), tokenizer, seed=33)


def roberta_mlm(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaForMaskedLM

    tokenizer = vocabulary.roberta(128)
    config = RobertaConfig(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=2, **ROBERTA_SIZES)
    write(folder, RobertaForMaskedLM(config), tokenizer, seed=34, licence=True)


def distilbert_mlm(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    tokenizer = vocabulary.wordpiece(128)
    config = DistilBertConfig(vocab_size=len(tokenizer), **DISTILBERT_SIZES)
    write(folder, DistilBertForMaskedLM(config), tokenizer, seed=35, licence=True)


MAKERS = {
    "bert-ner": bert_ner,
    "roberta-ner": roberta_ner,
    "gpt2-ner": gpt2_ner,
    "wordless-ner": wordless_ner,
    "bert-mlm": bert_mlm,
    "roberta-mlm": roberta_mlm,
    "distilbert-mlm": distilbert_mlm,
}
