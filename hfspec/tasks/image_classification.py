"""Labels for an image."""

from __future__ import annotations

from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields, labels, media
from hfspec.tasks.task import Task

TASK = Task(
    name="image-classification",
    library="transformers",
    summary="Labels and scores for an image.",
    inputs=(Column("binary", "image"),),
    outputs=labels.OUTPUTS,
    output_words=labels.OUTPUT_WORDS,
    full_words="list of dicts: every label with its score, best first, and the image's width and height",
    auto_class="AutoModelForImageClassification",
    components=("image_processor",),
    requirements=("pillow",),
    settings=(labels.TOP_K, labels.FUNCTION_TO_APPLY, *media.IMAGES, media.BATCH_IMAGES),
    full=(*answer_fields.LABELS, *answer_fields.counts("width", "height")),
    runner="hfspec.runtime.media.image_classification:ImageClassification",
)
