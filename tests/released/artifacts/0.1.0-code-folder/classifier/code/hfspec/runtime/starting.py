"""The shorter start of every process that loads an artifact, of which nothing can be seen afterwards.

hfspec/runtime/process.py has what only a process that does nothing else may do.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

OBJECTS = 50_000  # made since Python last looked for unreachable ones; 700 unless told
# transformers imports the losses of detectors with every model, and they scipy at their head, for one function.
LOSSES = "transformers.loss."
STAND_IN = {"scipy.optimize": "hfspec.runtime.matching"}


@contextmanager
def starting() -> Iterator[None]:
    """While it is in force, transformers' losses are imported without scipy, and Python looks for unreachable objects
    less often: imports make many objects and no garbage. Afterwards nothing of it is left but the stand-in for scipy.
    """
    finder = _Finder()
    with _SELDOM.lock:
        sys.meta_path.insert(0, finder)
    try:
        with seldom():
            yield
    finally:
        with _SELDOM.lock:
            # A new list: another thread may be on its way through the old one, and would miss the next finder.
            sys.meta_path = [found for found in sys.meta_path if found is not finder]


@contextmanager
def seldom() -> Iterator[None]:
    """Unreachable objects are looked for less often. Of several threads in it, the last one out puts back what the
    first one found, unless somebody else has set it meanwhile.
    """
    _SELDOM.enter()
    try:
        yield
    finally:
        _SELDOM.leave()


def raised(threshold: tuple[int, int, int]) -> tuple[int, int, int]:
    """The threshold for processes that import; 0, which is never, stays."""
    first, *later = threshold
    return (max(first, OBJECTS) if first else 0, *later)  # type: ignore[return-value]


class _Seldom:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._inside = 0
        self._before = gc.get_threshold()

    def enter(self) -> None:
        with self.lock:
            if not self._inside:
                self._before = gc.get_threshold()
                gc.set_threshold(*raised(self._before))
            self._inside += 1

    def leave(self) -> None:
        with self.lock:
            self._inside -= 1
            if not self._inside and gc.get_threshold() == raised(self._before):
                gc.set_threshold(*self._before)


_SELDOM = _Seldom()


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not name.startswith(LOSSES) or not STAND_IN.keys() - sys.modules.keys():
            return None
        if any(getattr(finder, "leaves_out", False) for finder in sys.meta_path):
            return None  # that of process.py, which does without scipy
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and hasattr(spec.loader, "get_code"):
            spec.loader = _Renaming(spec.loader)
        return spec


class _Renaming(Loader):
    """Runs a module's code with the stand-in in the imports at its head, and leaves the module to its own loader.

    Nothing in sys.modules is replaced, so that no other module sees the stand-in, whatever other threads import.
    """

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        made: ModuleType | None = self.loader.create_module(spec)
        return made

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None
        module.__spec__.loader = module.__loader__ = self.loader
        code = self.loader.get_code(module.__name__)
        names = tuple(STAND_IN.get(name, name) for name in code.co_names)
        exec(code.replace(co_names=names), module.__dict__)  # noqa: S102 - the library's own, as its loader would
