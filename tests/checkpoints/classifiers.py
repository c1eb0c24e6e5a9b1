"""Sequence classifiers: single label, several labels, regression, pairs."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.writing import write

BERT_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 128,
}
# RoBERTa numbers positions from pad_token_id + 1, so 130 leaves 128 to use.
ROBERTA_SIZES = {**BERT_SIZES, "max_position_embeddings": 130, "type_vocab_size": 1, "pad_token_id": 1}


def labels(names: list[str]) -> dict[str, object]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: index for index, name in enumerate(names)}}


def sentiment(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    tokenizer = vocabulary.wordpiece(128)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=32,
        hidden_dim=64,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=128,
        **labels(["NEGATIVE", "POSITIVE"]),
    )
    write(folder, DistilBertForSequenceClassification(config), tokenizer, seed=157, licence=True)


def bert(folder: Path, seed: int, **config: object) -> None:
    from transformers import BertConfig, BertForSequenceClassification

    tokenizer = vocabulary.wordpiece(128)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), **BERT_SIZES, **config))
    write(folder, model, tokenizer, seed)


def toxic(folder: Path) -> None:
    names = ["toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate"]
    bert(folder, seed=2, problem_type="multi_label_classification", **labels(names))


def regression(folder: Path) -> None:
    bert(folder, seed=3, problem_type="regression", **labels(["stars"]))


def roberta(folder: Path, seed: int, names: list[str]) -> None:
    from transformers import RobertaConfig, RobertaForSequenceClassification

    tokenizer = vocabulary.roberta(128)
    config = RobertaConfig(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=2, **ROBERTA_SIZES, **labels(names))
    write(folder, RobertaForSequenceClassification(config), tokenizer, seed)


def stsb(folder: Path) -> None:
    roberta(folder, seed=4, names=["LABEL_0"])


def mnli(folder: Path) -> None:
    roberta(folder, seed=5, names=["CONTRADICTION", "NEUTRAL", "ENTAILMENT"])


def bart_mnli(folder: Path) -> None:
    """An encoder-decoder, which reads its answer at the last end token."""
    from transformers import BartConfig, BartForSequenceClassification

    tokenizer = vocabulary.roberta(128)
    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=128,
        **labels(["contradiction", "neutral", "entailment"]),
    )
    write(folder, BartForSequenceClassification(config), tokenizer, seed=6, licence=True)


def nli(folder: Path) -> None:
    """Its entailment label comes first."""
    bert(folder, seed=7, **labels(["entailment", "neutral", "contradiction"]))


MAKERS = {
    "bert-sentiment": sentiment,
    "bert-toxic": toxic,
    "bert-regression": regression,
    "roberta-stsb": stsb,
    "roberta-mnli": mnli,
    "bart-mnli": bart_mnli,
    "bert-nli": nli,
}
