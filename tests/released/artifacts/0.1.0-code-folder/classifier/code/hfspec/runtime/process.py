"""The shorter start and end of processes that only answer or compile.

transformers imports at the head of its modules what training detectors, torch.compile and models split over processes
need, which takes half of the start (docs/startup.md has the figures) and is never used here.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, NoReturn

from hfspec.runtime.starting import raised

# Packages whose code runs when something of them is first asked for; what marks functions for the compiler marks none.
MARKS = ("allow_in_graph", "assume_constant_result", "disable")
TENSORS = "torch.distributed.tensor"
DEFERRED = {"torch._dynamo": MARKS, TENSORS: ()}
# A module of theirs that can be imported before them.
EARLY = "torch._dynamo._trace_wrapped_higher_order_op"
# Parts of transformers that ask at their head what else is installed.
ASKING = ("transformers.distributed.", "transformers.generation.", "transformers.loss.")
# Where they ask, and what for: a torch with a distributed part, scipy for detectors' losses, scikit-learn for assisted
# generation.
INSTALLED = ("is_scipy_available", "is_sklearn_available", "is_torch_distributed_available")
ASKED = {
    "transformers.utils": INSTALLED,
    "transformers.utils.import_utils": INSTALLED,
    "torch.distributed": ("is_available",),
}


def inference_only() -> None:
    """From now on this process imports transformers without what answers never need: scipy, scikit-learn and torch's
    distributed part are not there for it, and what of torch compiles and distributes is imported when something first
    uses it. Without effect on what was imported before. Python looks for unreachable objects less often, which
    importing makes none of. In such a process, do not train, nor split a model over processes.
    """
    gc.set_threshold(*raised(gc.get_threshold()))
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def leave(code: int) -> NoReturn:
    """End this process with the exit code, after what is registered for its end, and without taking apart the hundred
    thousands of objects that torch and transformers are made of, which takes a quarter of the shortest runs.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way to run them
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # none, closed, or with nobody left to read it
            stream.flush()
    os._exit(code)


class _Finder(MetaPathFinder):
    leaves_out = True

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        wrapped: Callable[[Loader], Loader]
        if name in DEFERRED:
            wrapped = _Deferred
        elif name.startswith(ASKING):
            wrapped = _Alone
        elif target is None and name not in sys.modules:
            _run_above(name)
            return _as_it_is(name)
        else:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = wrapped(spec.loader)
        return spec


class _Wrapped(Loader):
    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.loader, name)


class _Alone(_Wrapped):
    """Runs a module's code as if nothing of ``ASKED`` were installed."""

    def exec_module(self, module: ModuleType) -> None:
        if "torch" in sys.modules:
            with suppress(ImportError):
                import_module(TENSORS)  # others take it to be there after transformers is
        with _told_of_nothing():
            super().exec_module(module)


class _Deferred(_Wrapped):
    """Makes a package whose code runs when something of it is first asked for."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Later(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__.update(dict.fromkeys(DEFERRED[module.__name__], _unmarked))


class _There(Loader):
    """Of a module that was made while its spec was looked for, by the package that it is of: it is not made again."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:  # noqa: ARG002
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__spec__"] = self.spec


class _Later(ModuleType):
    """Other threads wait while its code runs; the code itself finds what it has defined so far."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of any module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _run(self)
        return ModuleType.__getattribute__(self, name)


def _run_above(name: str) -> None:
    """Run the deferred package that a module is of, as importing the module would have."""
    for package in DEFERRED:
        if name.startswith(f"{package}.") and name != EARLY:
            above = sys.modules.get(package)
            if isinstance(above, _Later):
                _run(above)


def _as_it_is(name: str) -> ModuleSpec | None:
    """Python takes the spec that a module has over the one that is found, so the module has this one meanwhile."""
    made = sys.modules.get(name)
    if made is None:
        return None
    made.__dict__["__spec__"] = spec = ModuleSpec(name, _There(made))
    return spec


def _run(module: _Later) -> None:
    """Once, and not again from within."""
    with _LOCK:
        if type(module) is not _Later or module.__name__ in _RUNNING:
            return
        spec = module.__spec__
        assert spec is not None
        assert isinstance(spec.loader, _Deferred)
        _RUNNING.add(module.__name__)
        try:
            spec.loader.loader.exec_module(module)
            module.__class__ = ModuleType  # type: ignore[assignment]
        finally:
            _RUNNING.discard(module.__name__)


_LOCK = threading.RLock()
_RUNNING: set[str] = set()


def _unmarked(function: Any = None, *_: Any, **__: Any) -> Any:
    """The function, without the compiler's mark; as a decorator with or without arguments."""
    return _unmarked if function is None else function


@contextmanager
def _told_of_nothing() -> Iterator[None]:
    with ExitStack() as stack:
        for place, names in ASKED.items():
            if place in sys.modules:
                for name in names:
                    stack.enter_context(_replaced(sys.modules[place], name))
        yield


@contextmanager
def _replaced(module: ModuleType, name: str) -> Iterator[None]:
    old = getattr(module, name)
    setattr(module, name, _no)
    try:
        yield
    finally:
        setattr(module, name, old)


def _no() -> bool:
    return False
