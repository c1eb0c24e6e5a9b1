"""What MLflow's python_function flavor loads: the predictor behind its ``predict(model_input, params)``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hfspec.runtime.load import load
from hfspec.runtime.predictor import Predictor


class MlflowModel:
    """A predictor as MLflow calls it."""

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The predictor's answer; raises what it raises."""
        return self.predictor.predict(model_input, params or None)


def _load_pyfunc(path: str) -> MlflowModel:
    """The model in MLflow's folder ``path``, which is the artifact itself."""
    folder = Path(path)
    return MlflowModel(load(folder if folder.is_dir() else folder.parent))
