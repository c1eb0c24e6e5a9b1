"""Addresses in inputs: fetched here, before a replica sees the request, where the fleet allows it.

A replica opens no address and no file that a request names, whatever the artifact's spec allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hfspec.errors import InputError
from hfspec.runtime.media import remote
from hfspec.serving.fleet.values import ServerLimits
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.model import Asking, Model
from hfspec.tasks import table

SECONDS = 30.0  # time limit of an address
DEPTH = 4  # a row, a column, a mapping with bytes or a path
MOST = 64  # most addresses of a request


async def fetched(asking: Asking, model: Model, limits: ServerLimits) -> Asking:
    """The request with its addresses replaced by their contents, where the fleet allows addresses in the model's inputs
    and these are audio or images. Together the contents may have as many bytes as a body.

    Raises RequestError: there is no room for the request; an address gives nothing, too much, or is not on the public
    internet.
    """
    if not model.entry.urls_in_inputs or not _takes_files(model):
        return asking
    contents: dict[str, bytes] = {}
    _collect(asking.data, contents)
    if not contents:
        return asking
    if len(contents) > MOST:
        raise RequestError(400, f"the request has {len(contents)} addresses; at most {MOST} are fetched.", "InputError")
    model.admission.take(asking.load)  # nothing is fetched for a request without room
    remaining = limits.body
    try:
        for address in list(contents):
            content = await asyncio.to_thread(_content, address, remaining)
            contents[address], remaining = content, remaining - len(content)
    finally:
        model.admission.give_back(asking.load)
    return replace(asking, data=_replaced(asking.data, contents))


def _takes_files(model: Model) -> bool:
    deployment = model.manifest.deployment
    task = table.find(deployment.library, deployment.task)
    return task is not None and task.inputs[0].type == "binary"


def _is_address(value: Any) -> bool:
    return isinstance(value, str) and value[:8].lower().startswith(remote.SCHEMES)


def _collect(data: Any, contents: dict[str, bytes], depth: int = 0) -> None:
    """Put the addresses in the data into ``contents``, no deeper than rows have them."""
    if _is_address(data):
        contents[data] = b""
    for part in _parts(data) if depth < DEPTH else ():
        _collect(part, contents, depth + 1)


def _parts(data: Any) -> list[Any]:
    if isinstance(data, Mapping):
        return list(data.values())
    return data if isinstance(data, list) else []


def _replaced(data: Any, contents: Mapping[str, bytes], depth: int = 0) -> Any:
    if _is_address(data):
        return contents[data]
    if depth < DEPTH and isinstance(data, Mapping):
        return {key: _replaced(value, contents, depth + 1) for key, value in data.items()}
    if depth < DEPTH and isinstance(data, list):
        return [_replaced(part, contents, depth + 1) for part in data]
    return data


def _content(address: str, most: int) -> bytes:
    try:
        return remote.fetch(address, None, most, SECONDS, public=True)
    except InputError as error:
        raise RequestError(400, error.reason, "InputError") from error
