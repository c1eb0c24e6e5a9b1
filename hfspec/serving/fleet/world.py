"""Problems of a fleet on this machine: its artifacts, certificates and files of API keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hfspec.errors import HfspecError, ParamsError, UsageError
from hfspec.integrity.finding import check_roles
from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import Manifest, code_files
from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.serving.fleet import certificates
from hfspec.serving.fleet.api_keys import keys_elsewhere
from hfspec.serving.fleet.places import missing_file, place_of
from hfspec.serving.fleet.rules import models_of
from hfspec.settings.precedence import load_layer
from hfspec.tasks import table
from hfspec.tasks.endpoints import PROTOCOLS, fits, fitting


def problems(tree: Tree) -> Iterator[Problem]:
    """Everything that keeps this machine from serving the fleet, as far as small files tell."""
    for name, entry in models_of(tree):
        yield from _artifact(tree, ("models", name), entry)
    yield from _tls(tree)
    yield from keys_elsewhere(tree)[1]


def _artifact(tree: Tree, path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Problem]:
    place = (*path, "artifact")
    folder = place_of(tree, place)
    if folder is None:
        return
    if not folder.exists():
        message = f"The folder {tree.at(place)} does not exist."
        remedy = f"Compile the model into it with `hfspec compile SPEC -o {tree.at(place)}`."
        yield Problem("no-such-folder", message, tree.origin(place), place, remedy=remedy)
        return
    try:
        manifest = read_manifest(folder)
    except HfspecError as error:
        yield Problem("not-an-artifact", _unread(error, folder, str(tree.at(place))), tree.origin(place), place)
        return
    yield from _against(tree, path, entry, manifest)
    yield from _signature(tree, path, folder)


def _against(tree: Tree, path: KeyPath, entry: Mapping[str, Any], manifest: Manifest) -> Iterator[Problem]:
    """Problems of a fleet entry that its artifact cannot fulfil."""
    if manifest.code and entry.get("trust_remote_code") is not True:
        lines = "\n".join(f"{record.path}  sha256 {record.sha256}" for record in code_files(manifest))
        message = "The artifact runs Python code that came with its checkpoint, and the fleet does not consent to it."
        remedy = f"Read these files, then write `trust_remote_code: true`:\n{lines}"
        yield Problem("consent", message, tree.origin(path), path, remedy=remedy)
    yield from _endpoints(tree, path, entry, manifest)
    yield from _settings(tree, (*path, "model_config"), entry, manifest)
    sources = entry.get("sources")
    if isinstance(sources, Mapping) and sources:
        place = (*path, "sources")
        try:
            check_roles(manifest, dict.fromkeys(sources, ""))
        except UsageError as error:
            yield Problem("dead-key", _sentence(error), tree.origin(place), place)
    if entry.get("expect_fingerprint") is not None and manifest.fingerprint is None:
        place, message = (*path, "expect_fingerprint"), "The model gives no embeddings, which alone have a fingerprint."
        yield Problem("dead-key", message, tree.origin(place), place, remedy="Remove it.")


def _endpoints(tree: Tree, path: KeyPath, entry: Mapping[str, Any], manifest: Manifest) -> Iterator[Problem]:
    names, deployment = entry.get("endpoints"), manifest.deployment
    for index, endpoint in enumerate(names if isinstance(names, tuple) else ()):
        place = (*path, "endpoints", index)
        if endpoint in PROTOCOLS and not fits(endpoint, deployment.library, deployment.task):
            message = f"The protocol {endpoint} cannot ask the task {deployment.task} of {deployment.library}."
            expected = one_of(fitting(deployment.library, deployment.task))
            yield Problem("endpoint", message, tree.origin(place), place, expected=expected, found=endpoint)


def _settings(tree: Tree, path: KeyPath, entry: Mapping[str, Any], manifest: Manifest) -> Iterator[Problem]:
    settings, deployment = entry.get("model_config"), manifest.deployment
    task = table.find(deployment.library, deployment.task)
    if task is None or not isinstance(settings, Mapping):
        return
    for name, value in settings.items():
        try:
            load_layer({name: value}, task, manifest.signature)
        except ParamsError as error:
            place = (*path, name)
            code = "unknown-setting" if task.setting(name) is None else "wrong-value"
            reason = str(error).removeprefix("model_config given to load: ").rstrip(".")
            message = f"The artifact does not take this setting: {reason}."
            yield Problem(code, message, tree.origin(place), place)


def _signature(tree: Tree, path: KeyPath, folder: Path) -> Iterator[Problem]:
    from hfspec.artifact.signing import signature_path

    place = (*path, "signature_key")
    key = place_of(tree, place)
    if key is None:
        return
    yield from _missing_file(tree, place)
    if not signature_path(folder).is_file():
        message = f"The artifact has no signature {signature_path(folder).name} beside it."
        remedy = "Have it signed with `hfspec sign`."
        yield Problem("no-such-file", message, tree.origin(place), place, remedy=remedy)


def _missing_file(tree: Tree, path: KeyPath) -> Iterator[Problem]:
    place = place_of(tree, path)
    if place is not None and not place.exists():
        yield missing_file(tree, path)
    elif place is not None and not place.is_file():
        yield Problem("no-such-file", f"{place} is not a file.", tree.origin(path), path)


def _tls(tree: Tree) -> Iterator[Problem]:
    path: KeyPath = ("server", "tls")
    certificate, key = (place_of(tree, (*path, name)) for name in ("certificate", "key"))
    missing = [*_missing_file(tree, (*path, "certificate")), *_missing_file(tree, (*path, "key"))]
    yield from missing
    if missing or certificate is None or key is None:
        return
    if fault := certificates.fault(certificate, key):
        remedy = "Give a certificate in PEM that is valid today, and the key that belongs to it, without a password."
        yield Problem(
            "tls", f"The server cannot show this certificate: {fault}.", tree.origin(path), path, remedy=remedy
        )


def _unread(error: HfspecError, folder: Path, name: str) -> str:
    """Why there is no manifest, with the folder as the fleet file has it."""
    message = str(error).replace(str(folder), name)
    return f"The path {message}" if message.startswith(name) else f"{message[:1].upper()}{message[1:]}"


def _sentence(error: HfspecError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
