"""Whether the spec's backend can run the spec's task, where it says so itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.backends import BACKENDS, Backend
from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.tasks.task import Task

PATH: KeyPath = ("runtime", "backend")


def problems(tree: Tree, task: Task | None) -> Iterator[Problem]:
    """A task that the backend does not run, a device or a dtype that it does not take."""
    runtime = tree.value.get("runtime")
    name = runtime.get("backend") if isinstance(runtime, Mapping) else None
    backend = BACKENDS.get(name) if isinstance(name, str) else None
    if name is None or backend is None or not isinstance(runtime, Mapping):
        return
    yield from _task(tree, task, name, backend)
    yield from _device(tree, runtime, name, backend)
    dtype = tree.value.get("dtype")
    if isinstance(dtype, str) and dtype not in ("auto", *backend.dtypes):
        expected = " or ".join(("auto", *backend.dtypes))
        message = f"The backend {name} does not run {dtype} weights."
        yield Problem("conflict", message, tree.origin(PATH), PATH, expected=f"dtype {expected}", found=dtype)


def _task(tree: Tree, task: Task | None, name: str, backend: Backend) -> Iterator[Problem]:
    if task is None or backend.tasks is None or (task.library, task.name) in backend.tasks:
        return
    expected = one_of(known for _, known in backend.tasks)
    message = f"The backend {name} does not run the task {task.name} of {task.library}."
    yield Problem("conflict", message, tree.origin(PATH), PATH, expected=expected, remedy="Remove it.")


def _device(tree: Tree, runtime: Mapping[str, Any], name: str, backend: Backend) -> Iterator[Problem]:
    taken = {"device": backend.takes(runtime.get("device")), "device_map": runtime.get("device_map") is None}
    for key, is_taken in taken.items():
        if not is_taken:
            message = f"The backend {name} runs on {backend.where}."
            yield Problem("conflict", message, tree.origin(PATH), PATH, remedy=f"Remove `backend` or `{key}`.")
