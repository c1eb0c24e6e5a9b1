"""The rules of a fleet beyond its shape, each over more than one key. No file is read.

Each rule reads plain values and skips those that the shape already refuses, so that all problems come at once.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.backends import BACKENDS
from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.language import scaling
from hfspec.language.backends import of_other_dtype, on_other_device
from hfspec.language.rules import mandatory

LOCAL_NAMES = ("localhost", "localhost.localdomain", "ip6-localhost")


def problems(tree: Tree) -> Iterator[Problem]:
    """Every rule that the fleet breaks."""
    yield from mandatory(tree, tree.value)
    yield from _names(tree)
    for name, entry in models_of(tree):
        yield from _model(tree, ("models", name), entry)
    server = tree.at(("server",))
    if isinstance(server, Mapping):
        yield from _address(tree, server)
        yield from _grpc_port(tree, server)
        yield from key_problems(tree, ("server", "api_keys", "keys"))


def key_problems(tree: Tree, path: KeyPath) -> Iterator[Problem]:
    """Problems of a list of API keys: one without a key, with two, or written out in a fleet file."""
    keys = tree.at(path)
    for index, key in enumerate(keys if isinstance(keys, tuple) else ()):
        if not isinstance(key, Mapping):
            continue
        place = (*path, index)
        present = [name for name in ("key", "sha256") if key.get(name) is not None]
        if len(present) != 1:
            message = "An API key has its text or its sha256, not both." if present else "The API key has no `key`."
            code = "conflict" if present else "missing-key"
            yield Problem(code, message, tree.origin(place), place, expected="exactly one of key, sha256")
        elif present == ["key"] and path[0] == "server" and "${" not in tree.hidden.get((*place, "key"), ""):
            message = "The API key is written out here, where whoever reads the fleet file can read it."
            remedy = "Write `key: ${oc.env:NAME}` or its `sha256`, or put it into `api_keys.file`."
            yield Problem("plain-secret", message, tree.origin((*place, "key")), (*place, "key"), remedy=remedy)


def models_of(tree: Tree) -> list[tuple[str, Mapping[str, Any]]]:
    """The fleet's entries of the right shape, by name."""
    models = tree.at(("models",))
    entries = models.items() if isinstance(models, Mapping) else ()
    return [(name, entry) for name, entry in entries if isinstance(entry, Mapping)]


def _names(tree: Tree) -> Iterator[Problem]:
    owners: dict[str, str] = {name: name for name, _ in models_of(tree)}
    for name, entry in models_of(tree):
        aliases = entry.get("aliases")
        for index, alias in enumerate(aliases if isinstance(aliases, tuple) else ()):
            path = ("models", name, "aliases", index)
            if alias in owners:
                whose = (
                    "the model's own name" if alias == owners[alias] == name else f"a name of the model {owners[alias]}"
                )
                message = f"The alias {alias!r} is {whose} already."
                yield Problem("same-name", message, tree.origin(path), path, remedy="Give another, or remove it.")
            elif isinstance(alias, str):
                owners[alias] = name


def _model(tree: Tree, path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _backend(tree, path, entry)
    yield from scaling.problems(tree, path, entry)
    limits = entry.get("limits")
    if isinstance(limits, Mapping):
        yield from _queue(tree, (*path, "limits"), limits)


def _backend(tree: Tree, path: KeyPath, entry: Mapping[str, Any]) -> Iterator[Problem]:
    name, device, dtype = entry.get("backend"), entry.get("device"), entry.get("dtype")
    backend = BACKENDS.get(name) if isinstance(name, str) else None
    place = (*path, "backend")
    if backend is None:
        return
    if not backend.takes(device):
        yield on_other_device(tree, place, str(name), backend, "device")
    if dtype not in (None, "auto", *backend.dtypes):
        message, expected = of_other_dtype(str(name), dtype), one_of(backend.dtypes)
        yield Problem("conflict", message, tree.origin(place), place, expected=expected, found=str(dtype))


def local_problems(tree: Tree) -> Iterator[Problem]:
    """Problems of keys that replicas on this machine alone cannot keep to."""
    for name, entry in models_of(tree):
        for key in ("autoscaling", "gpus"):
            if entry.get(key) is not None:
                place = ("models", name, key)
                message = f"The key {key} is for a cluster, and the replicas would be processes of this machine."
                remedy = "Serve with `--engine ray`, or give `replicas` and `device`."
                yield Problem("dead-key", message, tree.origin(place), place, remedy=remedy)


def _queue(tree: Tree, path: KeyPath, limits: Mapping[str, Any]) -> Iterator[Problem]:
    from hfspec.serving.fleet.values import Limits

    default = Limits()
    rows, queue = limits.get("rows", default.rows), limits.get("queue_rows", default.queue_rows)
    if isinstance(rows, int) and isinstance(queue, int) and rows > queue:
        place = (*path, "rows" if "rows" in limits else "queue_rows")
        message = f"A request may have {rows} rows, and only {queue} may wait: the largest could never be taken."
        remedy = "Give a `queue_rows` that is at least `rows`."
        yield Problem("conflict", message, tree.origin(place), place, remedy=remedy)


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


def _grpc_port(tree: Tree, server: Mapping[str, Any]) -> Iterator[Problem]:
    from hfspec.serving.fleet.values import ServerSettings

    port = server.get("grpc_port")
    if port and port == server.get("port", ServerSettings().port) and server.get("unix_socket") is None:
        path: KeyPath = ("server", "grpc_port")
        message = f"HTTP and gRPC cannot share the port {port}."
        yield Problem("conflict", message, tree.origin(path), path, remedy="Give another `grpc_port`.")


def is_loopback(host: str) -> bool:
    """Whether a server at this address or name is reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() in LOCAL_NAMES
