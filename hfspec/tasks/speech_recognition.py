"""The words spoken in a sound."""

from __future__ import annotations

from dataclasses import replace

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, generation, media
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import Task

BEAMS = 5  # both as the library's own pipeline has them
NEW_TOKENS = 256
TIMES = (
    Setting(
        "return_timestamps",
        ("boolean", "string"),
        "What the full output times: true for Whisper's segments, 'word', or, for CTC models, 'char'. By default a CTC"
        " model's words, and nothing of Whisper's, whose text changes with it.",
        choices=(True, False, "word", "char"),
    ),
    Setting("chunk_length_s", ("number",), "Cut audio into overlapping chunks of this many seconds.", above=0),
    Setting(
        "stride_length_s",
        ("number", "array"),
        "How many seconds two chunks share, one number or [left, right]; a sixth of chunk_length_s by default.",
        minimum=0,
        items="number",
    ),
)
WHISPER_MODELS = "Whisper*"
_WHISPER = (
    Setting(
        "language",
        ("string",),
        "The language spoken, a name or a code (Whisper), where a row does not say its own; detected by default.",
    ),
    Setting(
        "task",
        ("string",),
        "transcribe, or translate into English (Whisper).",
        choices=("transcribe", "translate"),
    ),
    Setting("prompt", ("string",), "A text that goes before, for names and spellings (Whisper)."),
    Setting(
        "prompt_condition_type",
        ("string",),
        "Which segments of long audio see the prompt (Whisper).",
        choices=("first-segment", "all-segments"),
    ),
    Setting("condition_on_prev_tokens", ("boolean",), "Let each segment of long audio see the one before (Whisper)."),
    Setting(
        "temperature",
        ("number", "array"),
        "0 for no sampling, above 0 to sample; a list is tried in turn where a threshold is missed (Whisper).",
        minimum=0,
        items="number",
    ),
    Setting("compression_ratio_threshold", ("number",), "Try the next temperature above this zlib ratio (Whisper)."),
    Setting("logprob_threshold", ("number",), "Try the next temperature below this mean log probability (Whisper)."),
    Setting(
        "no_speech_threshold", ("number",), "Skip a segment as silent above this probability (Whisper).", minimum=0
    ),
)
# The library's generation settings that make sense for speech; sampling is asked for by temperature.
_GENERATION = (
    Setting("max_new_tokens", ("integer",), "How many tokens a segment may have.", minimum=1, default=NEW_TOKENS),
    Setting("num_beams", ("integer",), generation.BEAMS_WORDS, minimum=1, default=BEAMS),
    *(
        setting
        for setting in generation.SETTINGS
        if setting.name
        in {
            "max_length",
            "early_stopping",
            "length_penalty",
            "top_k",
            "top_p",
            "repetition_penalty",
            "no_repeat_ngram_size",
            "suppress_tokens",
            "begin_suppress_tokens",
            "seed",
        }
    ),
)
WHISPER = tuple(replace(setting, models=WHISPER_MODELS) for setting in _WHISPER)
GENERATION = tuple(replace(setting, models=WHISPER_MODELS) for setting in _GENERATION)

TASK = Task(
    name="automatic-speech-recognition",
    library="transformers",
    summary="The words spoken in a sound.",
    inputs=(Column("binary", "audio"), Column("string", "language", required=False)),
    outputs=(Column("string"),),
    output_words="list[str]",
    full_words="list of dicts: text, seconds of audio, chunks with text and timestamp, language where it is known",
    auto_class="AutoModelForSpeechSeq2Seq",
    other_auto_classes=("AutoModelForCTC",),
    models=(WHISPER_MODELS, "*ForCTC"),
    components=("feature_extractor", "tokenizer"),
    requirements=("av",),
    settings=(*TIMES, *WHISPER, *GENERATION, *media.AUDIO, media.BATCH_SECONDS),
    protocols=frozenset({"openai"}),
    full=(
        *answer_fields.texts("text"),
        answer_fields.objects(
            "chunks", *answer_fields.texts("text"), answer_fields.many(Column("double", "timestamp"))
        ),
        Column("double", "seconds"),
        *answer_fields.texts("language"),
    ),
    runner="hfspec.runtime.media.speech_recognition:SpeechRecognition",
)
