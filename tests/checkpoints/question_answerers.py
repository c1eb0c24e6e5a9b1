"""Models that answer from a text, and from a table."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import BERT_SIZES, ROBERTA_SIZES
from tests.checkpoints.writing import write

TABLE_WORDS = ["how", "many", "much", "what", "total", "average", "number", "actors", "age", "movies", "brad", "pitt"]


def distilbert_squad(folder: Path) -> None:
    from transformers import DistilBertConfig, DistilBertForQuestionAnswering

    tokenizer = vocabulary.wordpiece(128)
    config = DistilBertConfig(
        vocab_size=len(tokenizer), dim=32, hidden_dim=64, n_layers=2, n_heads=4, max_position_embeddings=128
    )
    write(folder, DistilBertForQuestionAnswering(config), tokenizer, seed=31)


def bert_squad(folder: Path) -> None:
    from transformers import BertConfig, BertForQuestionAnswering

    tokenizer = vocabulary.wordpiece(128)
    write(folder, BertForQuestionAnswering(BertConfig(vocab_size=len(tokenizer), **BERT_SIZES)), tokenizer, seed=32)


def roberta_squad2(folder: Path) -> None:
    from transformers import RobertaConfig, RobertaForQuestionAnswering

    tokenizer = vocabulary.roberta(128)
    config = RobertaConfig(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=2, **ROBERTA_SIZES)
    write(folder, RobertaForQuestionAnswering(config), tokenizer, seed=33)


def table_tokenizer(folder: Path):
    """A TAPAS tokenizer of the BERT vocabulary with the token for empty cells, from a file, as it wants it."""
    from transformers import TapasTokenizer

    tokens = dict.fromkeys([*vocabulary.wordpiece_vocabulary(), "[EMPTY]", *TABLE_WORDS])
    file = folder / "vocab.txt"
    file.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return TapasTokenizer(str(file), model_max_length=128)


def tapas(folder: Path, seed: int, **config: object) -> None:
    from transformers import TapasConfig, TapasForQuestionAnswering

    tokenizer = table_tokenizer(folder)
    sizes = {**BERT_SIZES, "type_vocab_sizes": [3, 40, 40, 2, 40, 40, 10], "max_num_rows": 40, "max_num_columns": 16}
    model = TapasForQuestionAnswering(TapasConfig(vocab_size=len(tokenizer), **sizes, **config))
    write(folder, model, tokenizer, seed)


def tapas_wtq(folder: Path) -> None:
    tapas(
        folder,
        seed=48,
        num_aggregation_labels=4,
        aggregation_labels={0: "NONE", 1: "SUM", 2: "AVERAGE", 3: "COUNT"},
        no_aggregation_label_index=0,
    )


def tapas_sqa(folder: Path) -> None:
    tapas(folder, seed=60)


MAKERS = {
    "distilbert-squad": distilbert_squad,
    "bert-squad": bert_squad,
    "roberta-squad2": roberta_squad2,
    "tapas-wtq": tapas_wtq,
    "tapas-sqa": tapas_sqa,
}
