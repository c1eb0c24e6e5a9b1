"""Whether the spec's backend can run the spec's task, where it says so itself."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.ir.backends import BACKENDS, Backend
from hfspec.ir.problem import KeyPath, Problem, one_of
from hfspec.ir.tree import Tree
from hfspec.language.draft import Draft
from hfspec.tasks.task import Task

PATH: KeyPath = ("runtime", "backend")


def problems(draft: Draft) -> Iterator[Problem]:
    """Check that the spec's backend runs its task, on its device and in its dtype.

    Args:
        draft: The spec, as its rules read it.

    Returns:
        A problem for each.
    """
    tree, name = draft.tree, draft.backend
    dtype = draft.dtype if draft.compute_dtype in (None, "auto") else draft.compute_dtype
    backend = BACKENDS.get(name) if name is not None else None
    if name is None or backend is None:
        return
    yield from _task(tree, draft.task, name, backend)
    yield from _device(tree, name, backend)
    if dtype is not None and dtype not in ("auto", *backend.dtypes):
        expected = " or ".join(("auto", *backend.dtypes))
        message = of_other_dtype(name, dtype)
        yield Problem("conflict", message, tree.origin(PATH), PATH, expected=f"dtype {expected}", found=dtype)


def of_other_dtype(name: str, dtype: object) -> str:
    """Say that a backend does not run weights of a dtype.

    Args:
        name: The backend.
        dtype: The dtype.

    Returns:
        The message.
    """
    return f"The backend {name} does not compute in {dtype}."


def on_other_device(tree: Tree, path: KeyPath, name: str, backend: Backend, key: str) -> Problem:
    """Say that a backend does not run on the device that is asked for.

    Args:
        tree: The document.
        path: The key path of the backend.
        name: The backend's name.
        backend: Its row.
        key: The key that asks for another device.

    Returns:
        The problem.
    """
    message = f"The backend {name} runs on {backend.where}."
    return Problem("conflict", message, tree.origin(path), path, remedy=f"Remove `backend` or `{key}`.")


def _task(tree: Tree, task: Task | None, name: str, backend: Backend) -> Iterator[Problem]:
    if task is None or backend.tasks is None or (task.library, task.name) in backend.tasks:
        return
    expected = one_of(label for _, label in backend.tasks)
    message = f"The backend {name} does not run the task {task.name} of {task.library}."
    yield Problem("conflict", message, tree.origin(PATH), PATH, expected=expected, remedy="Remove it.")


def _device(tree: Tree, name: str, backend: Backend) -> Iterator[Problem]:
    device, device_map = (tree.at(("runtime", key)) for key in ("device", "device_map"))
    for key, is_taken in {"device": backend.takes(device), "device_map": device_map is None}.items():
        if not is_taken:
            yield on_other_device(tree, PATH, name, backend, key)
