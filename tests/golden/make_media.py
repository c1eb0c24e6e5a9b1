"""What the audio and image pipelines of transformers 4.57 answer, as tests/golden/media.json.

Run with transformers 4.57.6 and torch 2.13, on checkpoints made beforehand with the project's own transformers:

    python -c "from pathlib import Path; from tests.checkpoints import make; \
        [make(name, Path('made') / name) for name in \
            ('wav2vec2-ctc', 'whisper', 'wav2vec2-keywords', 'ast-tagging', 'vit')]"
    python -m tests.golden.make_media made
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.runtime.images import picture
from tests.runtime.sounds import tone

# (frequency, seconds, noise) of each sound, (seed, size) of each picture.
SOUNDS = [(220, 2, 0), (880, 0.7, 0), (440, 3.1, 0), (1200, 5, 0.1)]
LONG = [(330, 42, 0.05)]
PICTURES = [(1, (40, 30)), (2, (64, 64)), (3, (20, 90))]
CTC = [
    {},
    {"return_timestamps": "word"},
    {"return_timestamps": "char", "chunk_length_s": 0.6, "stride_length_s": [0.1, 0.05]},
]
# A random model says times even where it is asked for none, which a trained one does not, and on which the two versions
# differ: without times it may say none. They also differ on what max_length counts, so that max_new_tokens is said.
SILENT = {"num_beams": 1, "max_new_tokens": 16, "suppress_tokens": list(range(409, 1914))}
WHISPER = [
    SILENT,
    {**SILENT, "language": "french", "task": "translate"},
    {"num_beams": 1, "return_timestamps": True},
    {"num_beams": 1, "return_timestamps": True, "chunk_length_s": 3},
]
OF_THE_PIPELINE = {"return_timestamps", "chunk_length_s", "stride_length_s"}


def sound(frequency, seconds, noise):
    return tone(frequency, seconds, noise=noise)


def transcripts(pipe, settings, sounds):
    own = {name: value for name, value in settings.items() if name in OF_THE_PIPELINE}
    generate = {name: value for name, value in settings.items() if name not in OF_THE_PIPELINE}
    given = {**own, "generate_kwargs": generate} if generate else own
    return [pipe(sound(*row), **given) for row in sounds]


def letters(folder: Path):
    from transformers import Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC, pipeline

    return pipeline(
        "automatic-speech-recognition",
        model=Wav2Vec2ForCTC.from_pretrained(folder),
        tokenizer=Wav2Vec2CTCTokenizer(str(folder / "vocab.json")),
        feature_extractor=Wav2Vec2FeatureExtractor.from_pretrained(folder),
        device="cpu",
    )


def whisper(folder: Path):
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast, pipeline

    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = WhisperTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        unk_token="<|endoftext|>",
        additional_special_tokens=config["extra_special_tokens"],
    )
    features = json.loads((folder / "processor_config.json").read_text(encoding="utf-8"))["feature_extractor"]
    return pipeline(
        "automatic-speech-recognition",
        model=WhisperForConditionalGeneration.from_pretrained(folder),
        tokenizer=tokenizer,
        feature_extractor=WhisperFeatureExtractor.from_dict(features),
        device="cpu",
    )


def labels_of_sounds(folder: Path):
    from transformers import pipeline

    pipe = pipeline("audio-classification", str(folder), device="cpu", top_k=None)
    # 4.57 takes softmax whatever the checkpoint's problem_type says; logits leave nothing to argue about.
    return [pipe(sound(*row), top_k=None, function_to_apply="none") for row in SOUNDS]


def labels_of_pictures(folder: Path):
    from transformers import ViTForImageClassification, ViTImageProcessor, pipeline

    pipe = pipeline(
        "image-classification",
        model=ViTForImageClassification.from_pretrained(folder),
        image_processor=ViTImageProcessor.from_pretrained(folder),
        device="cpu",
    )
    return [pipe(picture(*row), top_k=7) for row in PICTURES]


def main(made: Path) -> None:
    """Writes the answers beside this script."""
    hears, writes = letters(made / "wav2vec2-ctc"), whisper(made / "whisper")
    answers = {
        "wav2vec2-ctc": [transcripts(hears, settings, SOUNDS) for settings in CTC],
        "whisper": [transcripts(writes, settings, SOUNDS[::2]) for settings in WHISPER],
        "whisper-long": transcripts(writes, {"num_beams": 1, "return_timestamps": True}, LONG),
        **{name: labels_of_sounds(made / name) for name in ("wav2vec2-keywords", "ast-tagging")},
        "vit": labels_of_pictures(made / "vit"),
    }
    text = json.dumps(answers, indent=1, ensure_ascii=True) + "\n"
    Path(__file__).with_name("media.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
