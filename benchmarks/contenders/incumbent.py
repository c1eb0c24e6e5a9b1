"""MLflow: a model saved by its transformers or sentence_transformers flavor, loaded as a pyfunc and asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.work import LABELS, ROOT, WORK, Work

SAVED = ROOT / "mlflow"
REQUIREMENTS = ["mlflow", "torch", "transformers"]  # given, so that saving does not load the model again to find them


def saved(work: str, batch_size: int | None, python: str) -> Path:
    """Where the model of a work lies, as saved by the environment ``python`` (a version of transformers)."""
    return SAVED / python / f"{work}-{batch_size or 'default'}"


def prepare(work: str, batch_size: int | None = None) -> None:
    """The model saved with these settings, when it is not there."""
    target = saved(work, batch_size, _environment())
    if (target / "made").is_file():
        return
    shutil.rmtree(target, ignore_errors=True)
    save(WORK[work], target, batch_size)
    (target / "made").touch()


def save(work: Work, target: Path, batch_size: int | None = None) -> None:
    """MLflow's save, of a pipeline that has to be loaded for it."""
    import mlflow

    if work.library == "sentence-transformers":
        from sentence_transformers import SentenceTransformer

        signature = _with_batch_size(batch_size) if batch_size else None
        mlflow.sentence_transformers.save_model(
            SentenceTransformer(str(work.model)), str(target), signature=signature, pip_requirements=REQUIREMENTS
        )
        return
    settings = {**work.settings, **({"batch_size": batch_size} if batch_size else {})}
    mlflow.transformers.save_model(
        pipeline(work, padded=batch_size is not None),
        str(target),
        model_config=settings or None,
        signature=_sounds_signature() if work.checkpoint == "wav2vec2" else None,
        pip_requirements=REQUIREMENTS,
    )


def pipeline(work: Work, *, padded: bool = False) -> Any:
    """The library's pipeline; ``padded``: made fit for batches, which a tokenizer without a padding token is not."""
    import transformers

    made = transformers.pipeline(work.task, model=str(work.model), device="cpu")
    if padded and made.tokenizer is not None and made.tokenizer.pad_token is None:
        made.tokenizer.pad_token, made.tokenizer.padding_side = made.tokenizer.eos_token, "left"
        made.model.generation_config.pad_token_id = made.tokenizer.pad_token_id
    return made


def predict(work: str, count: int, batch_size: int | None = None) -> Callable[[], Any]:
    """All rows in one call; sounds one a call, since MLflow takes no two arrays at once."""
    import mlflow

    wanted = WORK[work]
    model = mlflow.pyfunc.load_model(str(saved(work, batch_size, _environment())))
    if wanted.library == "sentence-transformers":
        params = {"batch_size": batch_size} if batch_size else None
        return lambda: model.predict(wanted.rows(count), params=params)
    if wanted.checkpoint == "wav2vec2":
        sounds = wanted.rows(count)
        return lambda: [text for sound in sounds for text in model.predict(sound)]
    rows = [_plain(row) for row in wanted.rows(count)]
    return lambda: model.predict(rows)


def _plain(row: Any) -> Any:
    return (
        {**row, "hypothesis_template": "This example is {}."}
        if isinstance(row, Mapping) and LABELS in row.values()
        else row
    )


def _environment() -> str:
    import transformers

    return transformers.__version__


def _with_batch_size(batch_size: int) -> Any:
    from mlflow.models import infer_signature

    return infer_signature(["a text"], None, {"batch_size": batch_size})


def _sounds_signature() -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    return ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1,))]), Schema([ColSpec("string")]))
