"""The model of MLflow's python_function flavor: the predictor behind MLflow's ``predict`` and ``predict_stream``.

Only MLflow imports this module, so that MLflow is there where this module needs it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hfspec.errors import InputError, ParamsError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.frozen import thaw
from hfspec.runtime.io.mlflow_requests import read_as_sent
from hfspec.runtime.load import load
from hfspec.runtime.patches.table import NONE
from hfspec.runtime.predictor import Predictor
from hfspec.settings.load_arguments import LOAD_ARGUMENTS


class MlflowModel:
    """A predictor with the methods that MLflow calls. Its refusals become MLflow's error of an invalid value, which
    MLflow's server answers with status 400; the predictor's own error is the cause.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._defaults = {param.name: thaw(param.default) for param in predictor.signature.params}

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The predictor's answer. Raises MlflowException, also for a request for a stream."""
        with _refusals():
            answer = self.predictor.predict(model_input, self._own_params(params))
            if isinstance(answer, Iterator):
                raise InputError("predict does not stream; call predict_stream, or leave out stream: true.")
        return answer

    def predict_stream(self, model_input: Mapping[str, Any], params: Mapping[str, Any] | None = None) -> Iterator[Any]:
        """The chunks of the answer to one request. Raises MlflowException."""
        with _refusals():
            yield from self.predictor.predict({**model_input, "stream": True}, self._own_params(params))

    def _own_params(self, params: Mapping[str, Any] | None) -> dict[str, Any]:
        """The params without the defaults, which MLflow adds: as the caller's choice they would go before others."""
        values = params or {}
        return {
            name: value for name, value in values.items() if name not in self._defaults or value != self._defaults[name]
        }


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (InputError, ParamsError) as error:
        from mlflow.exceptions import MlflowException

        raise MlflowException.invalid_parameter_value(str(error)) from error


def _load_pyfunc(path: str, model_config: Mapping[str, Any] | None = None) -> MlflowModel:
    """The model in MLflow's folder ``path``, which is the artifact itself. MLflow runs the artifact's code/ to get
    here, so that whoever loads a model with MLflow has consented to the artifact's reviewed code too.

    ``model_config``: all values in MLmodel, those of load_model's caller in their place. MLflow reads MLmodel before
    the artifact is verified, so nothing in it, nor in model_config, may switch that off.
    """
    if (model_config or {}).get("patches") != NONE:
        read_as_sent()
    root = Path(path)
    recorded = thaw(read_manifest(root).deployment.model_config)
    changed = {name: value for name, value in (model_config or {}).items() if value != recorded.get(name)}
    arguments = {"trust_remote_code": True} | {name: changed.pop(name) for name in LOAD_ARGUMENTS if name in changed}
    if arguments.pop("verify", True) is not True:
        raise UsageError("verify must be true in model_config: MLflow loads verified artifacts only; use hfspec.load.")
    if not isinstance(arguments["trust_remote_code"], bool):
        raise UsageError(f"trust_remote_code must be true or false, not {arguments['trust_remote_code']!r}.")
    return MlflowModel(load(root, model_config=changed or None, **arguments))
