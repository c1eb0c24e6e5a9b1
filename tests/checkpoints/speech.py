"""Audio models: letters by CTC, labels, and Whisper."""

from __future__ import annotations

import json
import string
from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import labels
from tests.checkpoints.writing import write

WAV2VEC2_SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "conv_dim": [32, 32, 32],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [10, 8, 4],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
KEYWORDS = ["yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go", "_silence_", "_unknown_"]
LANGUAGES = ["en", "fr", "de", "es", "zh"]


def extractor(**settings: object):
    from transformers import Wav2Vec2FeatureExtractor

    return Wav2Vec2FeatureExtractor(feature_size=1, sampling_rate=16000, padding_value=0.0, **settings)


def ctc(folder: Path) -> None:
    """As wav2vec2-base-960h: normalised over time (group norm), a vocabulary of letters."""
    from transformers import Wav2Vec2Config, Wav2Vec2CTCTokenizer, Wav2Vec2ForCTC

    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *string.ascii_uppercase, "'"]
    words = folder / "vocab.json"
    words.write_text(json.dumps({token: index for index, token in enumerate(tokens)}), encoding="utf-8")
    config = Wav2Vec2Config(vocab_size=len(tokens), pad_token_id=0, feat_extract_norm="group", **WAV2VEC2_SIZES)
    write(folder, Wav2Vec2ForCTC(config), Wav2Vec2CTCTokenizer(str(words)), seed=81, licence=True)
    extractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)


def keywords(folder: Path) -> None:
    """As wav2vec2-base-superb-ks: one word of twelve."""
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    config = Wav2Vec2Config(
        vocab_size=32, feat_extract_norm="group", classifier_proj_size=16, **WAV2VEC2_SIZES, **labels(KEYWORDS)
    )
    write(folder, Wav2Vec2ForSequenceClassification(config), None, seed=82)
    extractor(do_normalize=True, return_attention_mask=False).save_pretrained(folder)


def spectrogram(folder: Path) -> None:
    """An Audio Spectrogram Transformer: features of one length whatever the sound's, several labels at once."""
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    config = ASTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_length=128,
        num_mel_bins=32,
        problem_type="multi_label_classification",
        **labels(["Speech", "Music", "Dog", "Rain"]),
    )
    write(folder, ASTForAudioClassification(config), None, seed=83)
    ASTFeatureExtractor(max_length=128, num_mel_bins=32, sampling_rate=16000).save_pretrained(folder)


def whisper_tokens():
    """Whisper's tokens: text by byte-level BPE, then languages, tasks and times, each at the place Whisper has it."""
    from transformers import WhisperTokenizer

    text, merges = vocabulary.bpe(())
    special = ["<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]
    names = {**text, "<|endoftext|>": len(text)}
    tokenizer = WhisperTokenizer(vocab=names, merges=list(merges), model_max_length=64)
    tokenizer.add_special_tokens({"additional_special_tokens": [*special, "<|notimestamps|>"]})
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(f"<|{step * 0.02:.2f}|>", special=False) for step in range(1501)])
    return tokenizer


def whisper(folder: Path) -> None:
    """Thirty seconds a window, as the real one, and few tokens, so that it is soon done."""
    from transformers import WhisperConfig, WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperProcessor

    tokenizer = whisper_tokens()
    number = tokenizer.convert_tokens_to_ids
    end = number("<|endoftext|>")
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=16,
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_target_positions=64,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=number("<|startoftranscript|>"),
        begin_suppress_tokens=[end],
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = whisper_generation(number)
    write(folder, model, None, seed=84, licence=True, change=attentive)
    features = WhisperFeatureExtractor(feature_size=16)
    WhisperProcessor(features, tokenizer).save_pretrained(folder)


def attentive(model) -> None:
    """Weights with which the decoder listens more than it repeats itself."""
    import torch

    with torch.no_grad():
        model.model.decoder.embed_tokens.weight.mul_(0.1)
        for layer in model.model.decoder.layers:
            layer.encoder_attn.v_proj.weight.mul_(2)
            layer.encoder_attn.q_proj.weight.mul_(3)


def whisper_generation(number):
    from transformers import GenerationConfig

    end = number("<|endoftext|>")
    return GenerationConfig(
        _from_model_config=False,
        pad_token_id=end,
        bos_token_id=end,
        eos_token_id=end,
        decoder_start_token_id=number("<|startoftranscript|>"),
        begin_suppress_tokens=[end],
        suppress_tokens=[number("<|startoflm|>"), number("<|startofprev|>"), number("<|nospeech|>")],
        max_length=24,
        is_multilingual=True,
        lang_to_id={f"<|{code}|>": number(f"<|{code}|>") for code in LANGUAGES},
        task_to_id={name: number(f"<|{name}|>") for name in ("transcribe", "translate")},
        no_timestamps_token_id=number("<|notimestamps|>"),
        prev_sot_token_id=number("<|startofprev|>"),
        alignment_heads=[[0, 1], [1, 2]],
        max_initial_timestamp_index=50,
        return_timestamps=False,
    )


MAKERS = {
    "wav2vec2-ctc": ctc,
    "wav2vec2-keywords": keywords,
    "ast-tagging": spectrogram,
    "whisper": whisper,
}
