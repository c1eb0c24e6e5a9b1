"""What a fleet must keep to beyond its shape: rules over more than one key, and over the artifacts that it names.

Each rule looks at plain values and leaves alone what the shape already refuses, so that all problems come at once.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hfspec.errors import HfspecError, ParamsError, UsageError
from hfspec.integrity.finding import check_given
from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import Manifest, code_files
from hfspec.ir.backends import BACKENDS, CPU
from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.language.rules import mandatory
from hfspec.serving.fleet.api_keys import keys_elsewhere
from hfspec.serving.fleet.places import place_of
from hfspec.settings.precedence import load_layer
from hfspec.tasks import table
from hfspec.tasks.endpoints import TASKS, fits, fitting

LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


def problems(tree: Tree) -> Iterator[Problem]:
    """Every rule that the fleet breaks."""
    yield from mandatory(tree, tree.value)
    yield from _names(tree)
    for name, entry in _models(tree):
        yield from _model(tree, ("models", name), entry)
        yield from _artifact(tree, ("models", name), entry)
    server = tree.at(("server",))
    if isinstance(server, Mapping):
        yield from _address(tree, server)
        yield from _tls(tree, server)
        yield from key_problems(tree, ("server", "api_keys", "keys"))
        yield from keys_elsewhere(tree)[1]


def key_problems(tree: Tree, path: KeyPath) -> Iterator[Problem]:
    """What is wrong with a list of API keys: one without a key, with two, or written out in a fleet file."""
    keys = tree.at(path)
    for index, key in enumerate(keys if isinstance(keys, tuple) else ()):
        if not isinstance(key, Mapping):
            continue
        place = (*path, index)
        given = [name for name in ("key", "sha256") if key.get(name) is not None]
        if len(given) != 1:
            message = "An API key has its text or its sha256, not both." if given else "The API key has no `key`."
            code = "conflict" if given else "missing-key"
            yield Problem(code, message, tree.origin(place), place, expected="exactly one of key, sha256")
        elif given == ["key"] and path[0] == "server" and "${" not in tree.hidden.get((*place, "key"), ""):
            message = "The API key is written out here, where whoever reads the fleet file can read it."
            remedy = "Write `key: ${oc.env:NAME}` or its `sha256`, or put it into `api_keys.file`."
            yield Problem("plain-secret", message, tree.origin((*place, "key")), (*place, "key"), remedy=remedy)


def _models(tree: Tree) -> list[tuple[str, Mapping[str, Any]]]:
    models = tree.at(("models",))
    found = models.items() if isinstance(models, Mapping) else ()
    return [(name, entry) for name, entry in found if isinstance(entry, Mapping)]


def _names(tree: Tree) -> Iterator[Problem]:
    seen: dict[str, str] = {name: name for name, _ in _models(tree)}
    for name, entry in _models(tree):
        aliases = entry.get("aliases")
        for index, alias in enumerate(aliases if isinstance(aliases, tuple) else ()):
            path = ("models", name, "aliases", index)
            if alias in seen:
                whose = "its own name" if alias == seen[alias] == name else f"a name of the model {seen[alias]}"
                message = f"The alias {alias!r} is {whose} already."
                yield Problem("same-name", message, tree.origin(path), path, remedy="Give another, or remove it.")
            elif isinstance(alias, str):
                seen[alias] = name


def _model(tree: Tree, path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _backend(tree, path, entry)
    limits, scaling = entry.get("limits"), entry.get("autoscaling")
    if isinstance(limits, Mapping):
        yield from _queue(tree, (*path, "limits"), limits)
    if isinstance(scaling, Mapping):
        yield from _scaling(tree, (*path, "autoscaling"), scaling)
    device = entry.get("device")
    if entry.get("gpus") and device in ("cpu", "mps"):
        message = f"`gpus` asks for GPUs, and `device` puts the model on {device}."
        yield Problem("conflict", message, tree.origin((*path, "gpus")), (*path, "gpus"), remedy="Keep one of them.")


def _backend(tree: Tree, path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Problem]:
    name, device, dtype = entry.get("backend"), entry.get("device"), entry.get("dtype")
    backend = BACKENDS.get(name) if isinstance(name, str) else None
    place = (*path, "backend")
    if backend is None:
        return
    if device is not None and device not in CPU:
        message = f"The backend {name} runs on the CPU."
        yield Problem("conflict", message, tree.origin(place), place, remedy="Remove `backend` or `device`.")
    if dtype not in (None, "auto", *backend.dtypes):
        message, expected = f"The backend {name} does not run {dtype} weights.", one_of(backend.dtypes)
        yield Problem("conflict", message, tree.origin(place), place, expected=expected, found=str(dtype))


def _queue(tree: Tree, path: KeyPath, limits: Mapping[str, Any]) -> Iterator[Problem]:
    from hfspec.serving.fleet.values import Limits

    default = Limits()
    rows, queue = limits.get("rows", default.rows), limits.get("queue_rows", default.queue_rows)
    if isinstance(rows, int) and isinstance(queue, int) and rows > queue:
        place = (*path, "rows" if "rows" in limits else "queue_rows")
        message = f"A request may have {rows} rows, and only {queue} may wait: the largest could never be taken."
        remedy = "Give a `queue_rows` that is at least `rows`."
        yield Problem("conflict", message, tree.origin(place), place, remedy=remedy)


def _scaling(tree: Tree, path: KeyPath, scaling: Mapping[str, Any]) -> Iterator[Problem]:
    least, most = scaling.get("min", 1), scaling.get("max")
    if isinstance(least, int | float) and isinstance(most, int | float) and least > most:
        message = f"`min` is {least}, and `max` is {most}."
        yield Problem("conflict", message, tree.origin(path), path, expected="min at most max")


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
        yield Problem("not-an-artifact", _sentence(error), tree.origin(place), place)
        return
    yield from _against(tree, path, entry, manifest)
    yield from _signature(tree, path, folder)


def _against(tree: Tree, path: KeyPath, entry: Mapping[str, Any], manifest: Manifest) -> Iterator[Problem]:
    """What the artifact cannot do of that which the fleet asks."""
    if manifest.code and entry.get("trust_remote_code") is not True:
        listed = "\n".join(f"{record.path}  sha256 {record.sha256}" for record in code_files(manifest))
        message = "The artifact runs Python code that came with its checkpoint, and the fleet does not consent to it."
        remedy = f"Read these files, then write `trust_remote_code: true`:\n{listed}"
        yield Problem("consent", message, tree.origin(path), path, remedy=remedy)
    yield from _endpoints(tree, path, entry, manifest)
    yield from _settings(tree, (*path, "model_config"), entry, manifest)
    sources = entry.get("sources")
    if isinstance(sources, Mapping) and sources:
        place = (*path, "sources")
        try:
            check_given(manifest, dict.fromkeys(sources, ""))
        except UsageError as error:
            yield Problem("dead-key", _sentence(error), tree.origin(place), place)
    if entry.get("expect_fingerprint") is not None and manifest.fingerprint is None:
        place, message = (*path, "expect_fingerprint"), "The model gives no embeddings, which alone have a fingerprint."
        yield Problem("dead-key", message, tree.origin(place), place, remedy="Remove it.")


def _endpoints(tree: Tree, path: KeyPath, entry: Mapping[str, Any], manifest: Manifest) -> Iterator[Problem]:
    asked, deployment = entry.get("endpoints"), manifest.deployment
    for index, endpoint in enumerate(asked if isinstance(asked, tuple) else ()):
        place = (*path, "endpoints", index)
        if endpoint in TASKS and not fits(endpoint, deployment.library, deployment.task):
            message = f"The protocol {endpoint} cannot ask the task {deployment.task} of {deployment.library}."
            expected = one_of(fitting(deployment.library, deployment.task))
            yield Problem("endpoint", message, tree.origin(place), place, expected=expected, found=endpoint)


def _settings(tree: Tree, path: KeyPath, entry: Mapping[str, Any], manifest: Manifest) -> Iterator[Problem]:
    given, deployment = entry.get("model_config"), manifest.deployment
    task = table.find(deployment.library, deployment.task)
    if task is None or not isinstance(given, Mapping):
        return
    for name, value in given.items():
        try:
            load_layer({name: value}, task, manifest.signature)
        except ParamsError as error:
            place = (*path, name)
            code = "unknown-setting" if task.setting(name) is None else "wrong-value"
            yield Problem(code, _sentence(error), tree.origin(place), place)


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
    if place is not None and not place.is_file():
        message = f"The file {tree.at(path)} does not exist." if not place.exists() else f"{place} is not a file."
        yield Problem("no-such-file", message, tree.origin(path), path)


def _address(tree: Tree, server: Mapping[str, Any]) -> Iterator[Problem]:
    path: KeyPath = ("server", "unix_socket")
    if server.get("unix_socket") is not None:
        for key in ("host", "port"):
            if server.get(key) is not None:
                message = f"`unix_socket` and `{key}` are two addresses."
                remedy = f"Keep one of them; `~server.{key}` on the command line takes one away."
                yield Problem("conflict", message, tree.origin(path), path, remedy=remedy)
        return
    host = server.get("host")
    if not isinstance(host, str) or not host or is_loopback(host):
        return
    if not server.get("api_keys") and server.get("allow_anonymous") is not True:
        path = ("server", "host")
        message = f"The server would listen at {host}, beyond this machine, and ask for no API keys."
        remedy = (
            "Give `server.api_keys`, listen at 127.0.0.1, or write `server.allow_anonymous: true` where whoever reaches"
            " the server may use it."
        )
        yield Problem("open-server", message, tree.origin(path), path, remedy=remedy)


def is_loopback(host: str) -> bool:
    """Whether a server at this address or name is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOCAL_NAMES


def _tls(tree: Tree, server: Mapping[str, Any]) -> Iterator[Problem]:
    path: KeyPath = ("server", "tls")
    if not isinstance(server.get("tls"), Mapping):
        return
    certificate, key = (place_of(tree, (*path, name)) for name in ("certificate", "key"))
    missing = [*_missing_file(tree, (*path, "certificate")), *_missing_file(tree, (*path, "key"))]
    yield from missing
    if missing or certificate is None or key is None:
        return
    if fault := _tls_fault(certificate, key):
        remedy = "Give a certificate in PEM and the key that belongs to it, without a password."
        yield Problem(
            "tls", f"The certificate and its key cannot be used: {fault}.", tree.origin(path), path, remedy=remedy
        )


def _tls_fault(certificate: Path, key: Path) -> str:
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        return (error.reason or "they are not PEM").lower().replace("_", " ")
    except (OSError, ValueError) as error:
        return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
    return ""


def _sentence(error: HfspecError) -> str:
    text = str(error)
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
