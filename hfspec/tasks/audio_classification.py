"""Labels for a sound."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, labels, media
from hfspec.tasks.task import Task

TASK = Task(
    name="audio-classification",
    library="transformers",
    summary="Labels and scores for a sound.",
    inputs=(Column("binary", "audio"),),
    outputs=labels.OUTPUTS,
    output_words=labels.OUTPUT_WORDS,
    full_words="list of dicts: every label with its score, best first, the seconds of audio, whether its end was cut",
    auto_class="AutoModelForAudioClassification",
    components=("feature_extractor",),
    requirements=("av",),
    settings=(labels.TOP_K, labels.FUNCTION_TO_APPLY, *media.AUDIO, media.BATCH_SECONDS),
    full=(*answer_fields.LABELS, Column("double", "seconds"), answer_fields.TRUNCATED),
    runner="hfspec.runtime.media.audio_classification:AudioClassification",
)
