"""Whether a call's answer is a matter of chance."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.settings import generation, request_settings
from hfspec.settings.precedence import PREDICT, REQUEST, Settings
from hfspec.tasks.task import Task


def by_chance(task: Task, layers: Mapping[str, Mapping[str, Any]], data: Any, params: Mapping[str, Any] | None) -> bool:
    """Whether the answer to ``data`` is sampled from no seed. ``layers``: the settings below those of the call."""
    settings = Settings({**layers, PREDICT: params or {}})
    return any(_samples(task, own) and generation.seed(own) is None for own in _of_requests(task, settings, data))


def _of_requests(task: Task, settings: Settings, data: Any) -> Iterator[Settings]:
    """The settings of each request, where the task takes requests with settings of their own."""
    if not task.anew:
        yield settings
        return
    for request in data if isinstance(data, list | tuple) else [data]:
        values = request if isinstance(request, Mapping) else {}
        own = {name: value for name, value in values.items() if task.setting(name) is not None and value is not None}
        yield settings.over(own, REQUEST)


def _samples(task: Task, settings: Settings) -> bool:
    if task.anew:
        return request_settings.samples(settings)
    if task.setting("do_sample") is not None:
        return generation.samples(settings)
    heat = settings.get("temperature") if task.setting("temperature") is not None else None
    return any(value > 0 for value in (heat if isinstance(heat, list | tuple) else [heat or 0]))
