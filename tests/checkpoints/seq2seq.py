"""Encoder-decoder models: T5, BART, mBART, NLLB, M2M100, Marian."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from tests.checkpoints import sentencepieces, vocabulary
from tests.checkpoints.writing import write

BART_SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 128,
}
# As google-t5/t5-base has them, with lengths for a tiny model.
T5_TASKS = {
    "summarization": {
        "early_stopping": True,
        "length_penalty": 2.0,
        "max_length": 24,
        "min_length": 4,
        "no_repeat_ngram_size": 3,
        "num_beams": 4,
        "prefix": "summarize: ",
    },
    **{
        f"translation_en_to_{code}": {
            "early_stopping": True,
            "max_length": 16,
            "num_beams": 4,
            "prefix": f"translate English to {name}: ",
        }
        for code, name in (("de", "German"), ("fr", "French"), ("ro", "Romanian"))
    },
}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def livelier(token: int, emphasis: float, attention: float = 4.0) -> Callable[[object], None]:
    """Random weights seldom end an answer and seldom heed the encoder: with a longer embedding the token that ends an
    answer is now likely, now not, and what the encoder says is made louder.
    """

    def change(model) -> None:
        import torch

        with torch.no_grad():
            model.get_input_embeddings().weight[token] *= emphasis
            for name, parameter in model.named_parameters():
                if name.endswith(("encoder_attn.out_proj.weight", "EncDecAttention.o.weight")):
                    parameter.mul_(attention)

    return change


def without_language(folder: Path) -> None:
    """The published tokenizers state no language; the library writes its default into every tokenizer it saves."""
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text(encoding="utf-8")), "src_lang": None, "tgt_lang": None}
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def t5(folder: Path) -> None:
    from transformers import GenerationConfig, T5Config, T5ForConditionalGeneration, T5Tokenizer

    tokenizer = T5Tokenizer(
        vocab=sentencepieces.unigram(["<pad>", "</s>", "<unk>"], [f"<extra_id_{n}>" for n in range(9, -1, -1)]),
        extra_ids=10,
        model_max_length=128,
    )
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        decoder_start_token_id=0,
        task_specific_params=T5_TASKS,
    )
    model = T5ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(decoder_start_token_id=0, eos_token_id=1, pad_token_id=0)
    write(folder, model, tokenizer, seed=32, change=livelier(1, 2.5))


def bart(folder: Path) -> None:
    """As sshleifer/distilbart-cnn-12-6: generation settings of its own, a prefix of one space."""
    from transformers import BartConfig, BartForConditionalGeneration, GenerationConfig

    tokenizer = vocabulary.roberta(128)
    config = BartConfig(
        vocab_size=len(tokenizer),
        **BART_SIZES,
        prefix=" ",
        task_specific_params={"summarization": {"max_length": 21, "min_length": 4, "num_beams": 4}},
    )
    model = BartForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=0,
        decoder_start_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
        forced_bos_token_id=0,
        forced_eos_token_id=2,
        early_stopping=True,
        length_penalty=2.0,
        max_length=18,
        min_length=5,
        no_repeat_ngram_size=3,
        num_beams=4,
    )
    write(folder, model, tokenizer, seed=32, change=livelier(2, 3.0))


def mbart(folder: Path) -> None:
    from transformers import GenerationConfig, MBartConfig, MBartForConditionalGeneration, MBartTokenizer
    from transformers.models.mbart.tokenization_mbart import FAIRSEQ_LANGUAGE_CODES

    tokens = sentencepieces.unigram(SPECIAL, [*FAIRSEQ_LANGUAGE_CODES, "<mask>"])
    tokenizer = MBartTokenizer(vocab=tokens, model_max_length=128)
    config = MBartConfig(vocab_size=len(tokenizer), **BART_SIZES)
    model = MBartForConditionalGeneration(config)
    start = tokenizer.convert_tokens_to_ids("ro_RO")
    model.generation_config = GenerationConfig(
        bos_token_id=0, decoder_start_token_id=start, eos_token_id=2, pad_token_id=1, max_length=18, num_beams=4
    )
    write(folder, model, tokenizer, seed=30, change=livelier(2, 1.5))
    without_language(folder)


def m2m100_model(size: int, **generation: object):
    from transformers import GenerationConfig, M2M100Config, M2M100ForConditionalGeneration

    config = M2M100Config(vocab_size=size, **BART_SIZES, decoder_start_token_id=2)
    model = M2M100ForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        bos_token_id=0, decoder_start_token_id=2, eos_token_id=2, pad_token_id=1, **generation
    )
    return model


def nllb(folder: Path) -> None:
    from transformers import NllbTokenizer

    tokens, merges = sentencepieces.bpe(SPECIAL)
    tokenizer = NllbTokenizer(vocab=tokens, merges=merges, model_max_length=128)
    write(folder, m2m100_model(len(tokenizer), max_length=19), tokenizer, seed=33, change=livelier(2, 1.5))
    without_language(folder)


def m2m100(folder: Path) -> None:
    from transformers import M2M100Tokenizer
    from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

    folder.mkdir(parents=True, exist_ok=True)
    sentencepieces.write_vocabulary(folder / "vocab.json", SPECIAL)
    sentencepieces.write_model(folder / "sentencepiece.bpe.model")
    tokenizer = M2M100Tokenizer(
        str(folder / "vocab.json"),
        str(folder / "sentencepiece.bpe.model"),
        additional_special_tokens=[f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]],
        model_max_length=128,
    )
    size = len(tokenizer) + tokenizer.num_madeup_words
    write(folder, m2m100_model(size, max_length=19, num_beams=5), tokenizer, seed=30, change=livelier(2, 1.5))
    without_language(folder)


def marian(folder: Path) -> None:
    """As Helsinki-NLP/opus-mt-en-roa: the target language is written into the text."""
    from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    languages = [">>fra<<", ">>ron<<", ">>spa<<"]
    tokens = sentencepieces.write_vocabulary(folder / "vocab.json", ["</s>", "<unk>", *languages], ["<pad>"])
    for name in ("source.spm", "target.spm"):
        sentencepieces.write_model(folder / name)
    places = [str(folder / name) for name in ("source.spm", "target.spm", "vocab.json")]
    tokenizer = MarianTokenizer(*places, source_lang="en", target_lang="roa", model_max_length=128)
    pad = tokens["<pad>"]
    config = MarianConfig(
        vocab_size=len(tokens), **BART_SIZES, pad_token_id=pad, eos_token_id=0, decoder_start_token_id=pad
    )
    model = MarianMTModel(config)
    model.generation_config = GenerationConfig(
        bad_words_ids=[[pad]],
        bos_token_id=0,
        decoder_start_token_id=pad,
        eos_token_id=0,
        forced_eos_token_id=0,
        max_length=19,
        no_repeat_ngram_size=2,
        num_beams=4,
        pad_token_id=pad,
    )
    write(folder, model, tokenizer, seed=38, change=livelier(0, 1.5))


MAKERS = {"t5": t5, "bart": bart, "mbart": mbart, "nllb": nllb, "m2m100": m2m100, "marian": marian}
