"""Image classifiers."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints.classifiers import labels
from tests.checkpoints.writing import write


def vit(folder: Path) -> None:
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    config = ViTConfig(
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
        **labels(["tench", "goldfish", "great white shark", "cock", "hen", "ostrich", "brambling"]),
    )
    write(folder, ViTForImageClassification(config), None, seed=91, licence=True)
    ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=[0.5] * 3, image_std=[0.5] * 3).save_pretrained(
        folder
    )


MAKERS = {"vit": vit}
