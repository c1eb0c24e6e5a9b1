"""The fingerprint of an embedding space: equal where embeddings may be compared, different where they may not.

It stands on the artifact's ``space`` (what its weights, tokenizer, modules and prompts are, digested by the compiler)
and on the settings in force that change what an embedding is. Names, places and the layout of files are no part of it.
Nor is the role: a query and a document are embedded to be compared with each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfspec.errors import VerificationError
from hfspec.formats.sentence_modules import own_settings
from hfspec.formats.sentence_modules import settings as settings_of
from hfspec.ir.artifact import MANIFEST_NAME, Manifest
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import thaw
from hfspec.settings.precedence import PREDICT, REQUEST, SIGNATURE, Settings, fixed_layers
from hfspec.settings.prompts import Prompts
from hfspec.settings.quantization import RANGES, SCALED
from hfspec.tasks.task import Task

SHORTEST = 12  # digits, as reports show them
SHAPING = ("max_active_dims", "normalize_embeddings", "precision", "truncate_dim")


def of_folder(
    folder: Path, manifest: Manifest, task: Task, overrides: Mapping[str, Any], *, dtype: str, space: str | None
) -> str | None:
    """The fingerprint of the embeddings of an artifact; reads small files alone.

    Args:
        folder: The artifact.
        manifest: Its manifest.
        task: The task that the manifest names.
        overrides: The model_config given to load.
        dtype: The dtype of the weights as loaded, by torch's name.
        space: The digest of what makes the embeddings; None where the task gives none.

    Returns:
        The sha256 in hex; None without a space.
    """
    if space is None:
        return None
    model_settings = settings_of(folder / "model")
    settings = Settings(fixed_layers(task, manifest, own_settings(model_settings, task), overrides))
    return fingerprint(space, dtype, settings, Prompts(model_settings))


def fingerprint(space: str, dtype: str, settings: Settings, prompts: Prompts) -> str:
    """Digest what two sets of embeddings must share to be compared.

    Args:
        space: The digest of the embedding space.
        dtype: The dtype of the weights as loaded.
        settings: The settings in force; those that shape embeddings count.
        prompts: The prompts of the model.

    Returns:
        sha256 in hex.
    """
    shaping = {name: settings.get(name) for name in SHAPING}
    if settings.get("precision") in SCALED:
        shaping[RANGES] = settings.get(RANGES)
    # A setting at its plain value is as good as one that is not set.
    effective_values = {name: thaw(value) for name, value in shaping.items() if value not in (None, False, "float32")}
    return digest_of(
        {"dtype": dtype, "prompt": _fixed(settings, prompts), "settings": effective_values, "space": space}
    )


def check(expected: str | None, actual: str | None) -> None:
    """Hold a fingerprint against the one that is expected.

    Args:
        expected: The expected fingerprint, or at least its first 12 digits, as `hfspec diff` shows them; None: any.
        actual: The artifact's fingerprint; None where it gives no embeddings.

    Raises:
        VerificationError: The two differ.
    """
    if expected is None or (actual is not None and len(expected) >= SHORTEST and actual.startswith(expected)):
        return
    if actual is None:
        raise VerificationError(
            f"the fingerprint {expected} is expected, but this artifact gives no embeddings and has none.",
            [MANIFEST_NAME],
        )
    raise VerificationError(
        f"the embedding space is not the expected one: expected the fingerprint {expected}, found {actual}. Embeddings"
        " of the two cannot be compared; load the artifact that made the stored ones, or make them anew.",
        [MANIFEST_NAME],
    )


def _fixed(settings: Settings, prompts: Prompts) -> str:
    """The prompt put before every text; none where callers choose it, or where it follows from the role."""
    choice = prompts.choice(settings)
    if choice in {"", "role"} or settings.origin(choice) in {SIGNATURE, PREDICT, REQUEST}:
        return ""
    return prompts.text(settings)
