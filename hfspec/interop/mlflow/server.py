"""The tracking server and registry that MLflow's own settings or the caller name, with its errors as ours."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any

from hfspec.errors import UsageError, WorldError
from hfspec.redaction import redacted

ONE_TRY = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}


def library() -> Any:
    """The package mlflow.

    Raises:
        UsageError: It is not installed.
    """
    try:
        with _silent():
            import mlflow
    except ImportError as error:
        raise UsageError("MLflow is not installed here; `pip install 'hfspec[mlflow]'` brings it") from error
    return mlflow


def address(mlflow: Any, tracking_uri: str | None) -> str:
    """The tracking server's URI: the one given, or that of MLflow's own settings (``MLFLOW_TRACKING_URI``)."""
    return tracking_uri or str(mlflow.get_tracking_uri())


def is_unknown(error: Exception) -> bool:
    """Whether MLflow says that there is no such thing."""
    return getattr(error, "error_code", "") in {"RESOURCE_DOES_NOT_EXIST", "NOT_FOUND", "INVALID_PARAMETER_VALUE"}


@contextmanager
def asked(uri: str) -> Iterator[None]:
    """Calls of MLflow: what it prints is not shown, since addresses in it may hold a password.

    Raises:
        WorldError: MLflow or the network refuses.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        with _silent():
            yield
    except (MlflowException, RequestException, OSError) as error:
        raise WorldError(f"MLflow at {redacted(uri)} says: {said(error)}") from error


def said(error: BaseException) -> str:
    """The first line of an error, without passwords."""
    return redacted((str(error).strip().splitlines() or [type(error).__name__])[0])


@contextmanager
def one_try() -> Iterator[None]:
    """Calls that may fail and are not worth minutes of waiting for a server that has gone away."""
    before = {name: os.environ.get(name) for name in ONE_TRY}
    os.environ.update(ONE_TRY)
    try:
        with suppress(Exception), _silent():
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _silent() -> Iterator[None]:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield
