"""Classes of tokenizers without a tokenizer.json: those without any vocabulary, and those with files of other names."""

from __future__ import annotations

import json

import pytest
import torch
import transformers

import hfspec
from hfspec.sources.selection import TOKENIZER

# Of a package that MarianTokenizer would rather have.
pytestmark = pytest.mark.filterwarnings("ignore:Recommended")
LETTERS = list("abcdefghijklmnopqrstuvwxyz")
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
TEXTS = ["a fine film", "dull and much too long for me"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
STEPS = {
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 16,
    "decoder_ffn_dim": 16,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
T5 = {"d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2, "decoder_start_token_id": 0}


def write_json(path, value):
    path.write_text(json.dumps(value), encoding="utf-8")


def byt5(folder):
    transformers.ByT5Tokenizer().save_pretrained(folder)
    return transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=384, **T5))


def myt5(folder):
    write_json(folder / "byte_maps.json", {"decompose_map": {"41": "e5 41"}, "merge_map": {"61": "61"}})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "MyT5Tokenizer"})
    return transformers.T5ForConditionalGeneration(transformers.T5Config(vocab_size=384, **T5))


def canine(folder):
    transformers.CanineTokenizer().save_pretrained(folder)
    hashes = {"num_hash_buckets": 32, "num_hash_functions": 4}
    return transformers.CanineForSequenceClassification(transformers.CanineConfig(**SIZES, **hashes))


def perceiver(folder):
    transformers.PerceiverTokenizer().save_pretrained(folder)
    latents = {"num_latents": 4, "d_latents": 16, "d_model": 16, "num_self_attends_per_block": 1}
    heads = {"num_self_attention_heads": 2, "num_cross_attention_heads": 2, "max_position_embeddings": 64}
    return transformers.PerceiverForSequenceClassification(transformers.PerceiverConfig(**latents, **heads))


def roc_bert(folder):
    (folder / "vocab.txt").write_text("\n".join(PIECES), encoding="utf-8")
    for name in ("word_shape", "word_pronunciation"):
        write_json(folder / f"{name}.json", {piece: number for number, piece in enumerate(PIECES)})
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "RoCBertTokenizer"})
    sizes = {name: len(PIECES) for name in ("vocab_size", "shape_vocab_size", "pronunciation_vocab_size")}
    embedded = {"shape_embed_dim": 8, "pronunciation_embed_dim": 8}
    return transformers.RoCBertForSequenceClassification(transformers.RoCBertConfig(**SIZES, **sizes, **embedded))


def prophet_net(folder):
    (folder / "prophetnet.tokenizer").write_text("\n".join([*PIECES, "[X_SEP]"]), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"tokenizer_class": "ProphetNetTokenizer"})
    layers = {"num_encoder_layers": 1, "num_decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"num_encoder_attention_heads": 2, "num_decoder_attention_heads": 2, "max_position_embeddings": 64}
    config = transformers.ProphetNetConfig(vocab_size=len(PIECES) + 1, hidden_size=16, **layers, **heads)
    return transformers.ProphetNetForConditionalGeneration(config)


def marian(folder):
    """With a vocabulary of its own for what it writes."""
    import sentencepiece

    trained = {"vocab_size": 40, "hard_vocab_limit": False, "minloglevel": 2}
    for side, name, text in (("source", "vocab", TEXTS), ("target", "target_vocab", ["ein feiner kleiner film fern"])):
        with (folder / f"{side}.spm").open("wb") as file:
            sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(text * 20), model_writer=file, **trained)
        read = sentencepiece.SentencePieceProcessor(str(folder / f"{side}.spm"))
        pieces = ["</s>", "<unk>", *(read.id_to_piece(number) for number in range(3, 12)), "<pad>"]
        write_json(folder / f"{name}.json", {piece: number for number, piece in enumerate(pieces)})
    sizes = [len(json.loads((folder / f"{name}.json").read_text())) for name in ("vocab", "target_vocab")]
    stated = {"tokenizer_class": "MarianTokenizer", "separate_vocabs": True}
    write_json(folder / "tokenizer_config.json", stated)
    shared = {"share_encoder_decoder_embeddings": False, "tie_word_embeddings": False}
    ends = {"pad_token_id": sizes[1] - 1, "decoder_start_token_id": sizes[1] - 1, "forced_eos_token_id": None}
    config = transformers.MarianConfig(
        vocab_size=sizes[0], decoder_vocab_size=sizes[1], max_position_embeddings=64, **shared, **ends, **STEPS
    )
    return transformers.MarianMTModel(config)


# What makes a checkpoint -> its task.
CASES = {
    byt5: "text2text-generation",
    myt5: "text2text-generation",
    canine: "text-classification",
    perceiver: "text-classification",
    roc_bert: "text-classification",
    prophet_net: "summarization",
    marian: "translation",
}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_answers_of_the_library(make, build, tmp_path):
    torch.manual_seed(3)
    folder = tmp_path / make.__name__
    folder.mkdir()
    make(folder).eval().save_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert not tokenizer.is_fast
    greedy = {"max_new_tokens": 4, "do_sample": False, "num_beams": 1} if CASES[make] != "text-classification" else {}
    predictor = hfspec.load(build(folder, CASES[make], model_config=greedy), verify=False)
    if CASES[make] == "text-classification":
        model = transformers.AutoModelForSequenceClassification.from_pretrained(folder)
        with torch.inference_mode():
            scores = [float(model(**tokenizer(text, return_tensors="pt")).logits.softmax(-1).max()) for text in TEXTS]
        assert predictor.predict(TEXTS)["score"].tolist() == pytest.approx(scores, abs=1e-6)
        return
    model = transformers.AutoModelForSeq2SeqLM.from_pretrained(folder)
    with torch.inference_mode():
        written = [model.generate(**tokenizer(text, return_tensors="pt"), **greedy)[0] for text in TEXTS]
    assert list(predictor.predict(TEXTS)) == tokenizer.batch_decode(written, skip_special_tokens=True)


def test_every_file_of_the_librarys_tokenizers_is_taken():
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    classes = [getattr(transformers, name, None) for name in TOKENIZER_MAPPING_NAMES.values() if isinstance(name, str)]
    files = {file for one in classes for file in getattr(one, "vocab_files_names", {}).values()}
    left = {file for file in files if not TOKENIZER.fullmatch(file)}
    assert left == {"normalizer.json"}  # Whisper's, of words that are compared, which no task does


@pytest.mark.parametrize(
    "stated", [{}, {"tokenizer_class": "BertTokenizer"}, {"tokenizer_class": "Nothing"}, {"tokenizer_class": 5}]
)
def test_a_class_with_a_vocabulary_needs_it(stated, tmp_path):
    folder = tmp_path / "bare"
    transformers.BertForSequenceClassification(transformers.BertConfig(vocab_size=60, **SIZES)).save_pretrained(folder)
    write_json(folder / "tokenizer_config.json", stated)
    spec = {"library": "transformers", "task": "text-classification", "model": {"path": str(folder)}}
    write_json(tmp_path / "spec.yaml", {"spec_version": 1, **spec})
    with pytest.raises(hfspec.SpecError, match="the source has no tokenizer"):
        hfspec.plan(tmp_path / "spec.yaml")
