"""An artifact as a logged model of MLflow 3: its bytes untouched, registered only once all of them are there."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hfspec.errors import UsageError, WorldError
from hfspec.integrity.verification import Verified
from hfspec.interop.mlflow.account import Account
from hfspec.interop.mlflow.server import address, asked, is_unknown, library, one_try
from hfspec.redaction import redacted

MODEL_TYPE = "hfspec"
FILES = "hfspec"  # the folder of the run's files
BATCH = 100  # params that one call of MLflow takes
NOT_IN_NAMES = re.compile(r"[/:.%\"'\x00-\x1f]")
VERSIONS = "mlflow.modelVersions"  # a logged model's tag, by which the UI shows what it is registered as


@dataclass(frozen=True, slots=True)
class Names:
    """Where an artifact is logged, and what it is called there."""

    tracking_uri: str | None = None
    experiment: str | None = None
    run_name: str | None = None
    register: str | None = None
    alias: str | None = None


@dataclass(slots=True)
class Logged:
    """The entries on the server by now; each field is empty until it is there."""

    uri: str
    experiment: str = ""
    experiment_id: str = ""
    run_id: str = ""
    model_id: str = ""
    is_ready: bool = False
    name: str = ""
    version: str = ""
    alias: str = ""
    alias_before: str = ""

    @property
    def model_uri(self) -> str:
        """By which the model is loaded and pulled."""
        return f"models:/{self.name}/{self.version}" if self.version else f"models:/{self.model_id}"

    def lines(self) -> Iterator[str]:
        """The entries that are there, a line each."""
        if self.run_id:
            yield f"run {self.run_id} in the experiment {self.experiment!r}"
        if self.model_id:
            state = "with all its files" if self.is_ready else "without all its files, never READY"
            yield f"logged model {self.model_id}, {state}"
        if self.version:
            yield f"{self.name} version {self.version}"
        if self.alias:
            before = f" -> version {self.version}" if self.alias_before else ""
            yield f"alias {self.alias}: version {self.alias_before or self.version}{before}"


def check_names(names: Names) -> None:
    """Refuse what MLflow would refuse only after the artifact had been sent.

    Args:
        names: The names.

    Raises:
        UsageError: A name that MLflow does not take, or an alias without a registered name.
    """
    library()
    from mlflow.exceptions import MlflowException
    from mlflow.utils.validation import (
        _validate_model_alias_name,
        _validate_model_alias_name_reserved,
        _validate_model_name,
    )

    if names.alias and not names.register:
        raise UsageError("--alias goes with --register, the name whose version the alias is to stand for")
    checks = (
        ("--register", names.register, _validate_model_name),
        ("--alias", names.alias, _validate_model_alias_name),
        ("--alias", names.alias, _validate_model_alias_name_reserved),
    )
    for option, value, check in checks:
        try:
            if value is not None:
                check(value)
        except MlflowException as error:
            raise UsageError(f"{option} {value!r}: MLflow says: {str(error).splitlines()[0]}") from error


def log(verified: Verified, account: Account, names: Names) -> Logged:
    """Log an artifact, and register it where a name is given.

    Args:
        verified: The artifact, every byte of which was found right.
        account: What is logged beside its files.
        names: Where, and under which names.

    Returns:
        What is on the server.

    Raises:
        UsageError: A name that MLflow does not take.
        WorldError: The server refuses or goes away; it says what is there, and nothing is registered by halves.
        VerificationError: The artifact was changed while it was sent.
    """
    check_names(names)
    mlflow = library()
    entries = Logged(address(mlflow, names.tracking_uri))
    with asked(entries.uri):
        client = mlflow.MlflowClient(tracking_uri=entries.uri, registry_uri=_registry(mlflow, names))
    try:
        with asked(entries.uri):
            _experiment(client, entries, names)
            _log_run(client, entries, verified, account, names)
            _log_model(client, entries, verified, account)
        verified.check_unchanged()
        with asked(entries.uri):
            client.finalize_logged_model(entries.model_id, "READY")
            entries.is_ready = True
            client.set_terminated(entries.run_id, "FINISHED")
            if names.register:
                _register(client, entries, account, names.register, names.alias)
    except BaseException as error:
        _tidy(client, entries)
        if isinstance(error, WorldError):
            raise WorldError(f"{error}\n{_what_is_there(entries, names)}") from error
        raise
    return entries


def _registry(mlflow: Any, names: Names) -> str | None:
    """The registry is the tracking server's own, unless MLflow's settings name another and the caller names none."""
    return names.tracking_uri or str(mlflow.get_registry_uri())


def _experiment(client: Any, entries: Logged, names: Names) -> None:
    name = names.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Default"
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == "deleted":
        raise UsageError(
            f"the experiment {name!r} was deleted; restore it (`mlflow experiments restore`), or name another"
        )
    entries.experiment = name
    entries.experiment_id = experiment.experiment_id if experiment else client.create_experiment(name)


def _log_run(client: Any, entries: Logged, verified: Verified, account: Account, names: Names) -> None:
    from mlflow.entities import Param, RunTag

    tags = {**account.tags, "mlflow.source.type": "JOB", "mlflow.source.name": "hfspec mlflow log"}
    name = names.run_name or verified.manifest.name
    entries.run_id = client.create_run(entries.experiment_id, tags=tags, run_name=name).info.run_id
    params = [Param(key, value) for key, value in account.params.items()]
    for start in range(0, len(params), BATCH):
        client.log_batch(entries.run_id, params=params[start : start + BATCH])
    client.log_batch(entries.run_id, tags=[RunTag(key, value) for key, value in account.tags.items()])
    with TemporaryDirectory(prefix="hfspec-mlflow-") as folder:
        for path, content in account.files.items():
            (Path(folder) / path).write_bytes(content)
        client.log_artifacts(entries.run_id, folder, FILES)


def _log_model(client: Any, entries: Logged, verified: Verified, account: Account) -> None:
    from mlflow.entities import LoggedModelOutput, Metric

    name = NOT_IN_NAMES.sub("-", verified.manifest.name)
    model = client.create_logged_model(
        entries.experiment_id, name, entries.run_id, dict(account.tags), dict(account.params), MODEL_TYPE
    )
    entries.model_id = model.model_id
    now = int(time.time() * 1000)
    metrics = [
        Metric(key, value, now, 0, model_id=entries.model_id, run_id=entries.run_id)
        for key, value in account.metrics.items()
    ]
    client.log_batch(entries.run_id, metrics=metrics)
    client.log_outputs(entries.run_id, [LoggedModelOutput(entries.model_id, step=0)])
    client.log_model_artifacts(entries.model_id, str(verified.folder))


def _register(client: Any, entries: Logged, account: Account, name: str, alias: str | None) -> None:
    """A version of a registered model; a name that was made for it and got no version is taken away again."""
    is_new = _make_name(client, name)
    try:
        version = client.create_model_version(
            name, f"models:/{entries.model_id}", entries.run_id, dict(account.tags), model_id=entries.model_id
        )
    except BaseException:
        if is_new:
            with one_try():
                client.delete_registered_model(name)
        raise
    entries.name, entries.version = name, str(version.version)
    _mark_registered(client, entries)
    if alias:
        before = _alias_version(client, name, alias)
        client.set_registered_model_alias(name, alias, entries.version)
        entries.alias, entries.alias_before = alias, before


def _make_name(client: Any, name: str) -> bool:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code not in {"RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"}:
            raise
        return False
    return True


def _mark_registered(client: Any, entries: Logged) -> None:
    tag = client.get_logged_model(entries.model_id).tags.get(VERSIONS)
    versions = [*(json.loads(tag) if tag else []), {"name": entries.name, "version": entries.version}]
    client.set_logged_model_tags(entries.model_id, {VERSIONS: json.dumps(versions)})


def _alias_version(client: Any, name: str, alias: str) -> str:
    """The version that an alias stands for; empty when it stands for none yet."""
    from mlflow.exceptions import MlflowException

    try:
        return str(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if not is_unknown(error):
            raise
        return ""


def _tidy(client: Any, entries: Logged) -> None:
    """Mark an unfinished model and run as failed, where the server can still be asked."""
    if entries.model_id and not entries.is_ready:
        with one_try():
            client.finalize_logged_model(entries.model_id, "FAILED")
    if entries.run_id and not entries.is_ready:
        with one_try():
            client.set_terminated(entries.run_id, "FAILED")


def _what_is_there(entries: Logged, names: Names) -> str:
    there = list(entries.lines())
    if names.register and not entries.version:
        there.append(f"nothing registered under {names.register!r}")
    if names.alias and not entries.alias:
        there.append(f"the alias {names.alias!r} where it was before")
    lines = "\n".join(f"  {line}" for line in there) or "  nothing"
    return redacted(f"There is now:\n{lines}\nOnce the server answers, run the same again: it makes a run of its own.")
