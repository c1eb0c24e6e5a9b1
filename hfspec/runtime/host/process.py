"""A process of our own: the commands and an artifact's predictor.py, which only answer or compile.

transformers imports at the head of its modules the needs of training detectors, torch.compile and models split over
processes: a third of the start (docs/startup.md has the figures), which such a process never uses. Nothing of this
module is for a process that does something else too.
"""

from __future__ import annotations

import atexit
import gc
import os
import platform
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.util import LazyLoader, find_spec, module_from_spec
from threading import Event
from types import ModuleType
from typing import Any, NoReturn

# Objects made before Python looks for unreachable ones, by default 700: during imports, and while requests come.
OBJECTS, LATER_OBJECTS = 50_000, 2_000
# OpenMP's threads spin while they wait for work by default, and take the core from threads that have work. numpy starts
# threads for matrix products, which nobody asks of it here: a tenth of a second; on ARM they are torch's as well.
THREADS = {"OMP_WAIT_POLICY": "PASSIVE"}
if platform.machine() in ("x86_64", "AMD64"):
    THREADS["OPENBLAS_NUM_THREADS"] = "1"
COMPILER = "torch._dynamo"
TENSORS = "torch.distributed.tensor"
MARKS = ("allow_in_graph", "assume_constant_result", "disable")  # of functions, for the compiler
# Every model class imports these; at their head they check for more packages: scipy for detectors' losses,
# scikit-learn for assisted generation, torch's distributed part for models that are split.
MODULES = ("transformers.modeling_utils", "transformers.generation.utils")
ASKED = ("is_scipy_available", "is_sklearn_available", "is_torch_distributed_available")
ANSWERING = ("transformers.utils", "transformers.utils.import_utils")
_BEGUN = Event()


def begin() -> None:
    """Declare this process one of ours. Call it at its start, before torch is imported and before any thread starts."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)
    gc.set_threshold(OBJECTS, *gc.get_threshold()[1:])  # imports make many objects and no garbage
    _BEGUN.set()


def import_libraries(packages: Collection[str]) -> None:
    """In a process of ours import the modules that every model class imports, without the parts that answers never
    need; let transformers log errors alone, and the C library keep freed memory. In any other process this does
    nothing, nor for a library that needs other ``packages``.
    """
    if not _BEGUN.is_set() or MODULES[0] in sys.modules or MODULES[0].partition(".")[0] not in packages:
        return
    from hfspec.runtime.host.allocator import keep_freed_memory

    keep_freed_memory()
    with ExitStack() as stack:
        stack.enter_context(_without_compiler())
        stack.enter_context(_replaced(import_module("torch.distributed"), "is_available"))
        for module in map(import_module, ANSWERING):
            for name in ASKED:
                stack.enter_context(_replaced(module, name))
        for name in MODULES:
            import_module(name)
    _silence()
    _import_when_used(TENSORS)  # others, such as peft, take it to be there after transformers is


def settle() -> None:
    """Declare the loading done, in a process of ours that answers for a long time: the garbage collector never looks
    through today's objects again, so that it can look for unreachable ones often, and their memory is used again.
    """
    if _BEGUN.is_set():
        gc.collect()
        gc.freeze()
        gc.set_threshold(LATER_OBJECTS, *gc.get_threshold()[1:])


def leave(code: int) -> NoReturn:
    """End this process with the exit code, after the functions registered for its end. It does not take apart the
    hundred thousands of objects of torch and transformers, which takes a quarter of the shortest runs.
    """
    atexit._run_exitfuncs()  # noqa: SLF001 - there is no other way to run them
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # none, closed, or with nobody left to read it
            stream.flush()
    os._exit(code)


@contextmanager
def _without_compiler() -> Iterator[None]:
    """An empty package in the compiler's place, whose marks leave functions as they are."""
    torch, spec = import_module("torch"), find_spec(COMPILER)
    if spec is None or COMPILER in sys.modules:
        yield
        return
    empty = ModuleType(COMPILER)
    empty.__dict__.update(dict.fromkeys(MARKS, _unmarked), __path__=spec.submodule_search_locations)
    sys.modules[COMPILER] = torch.__dict__["_dynamo"] = empty
    try:
        yield
    finally:
        del sys.modules[COMPILER], torch.__dict__["_dynamo"]


def _silence() -> None:
    """Silence the warnings of transformers, which are for training."""
    logging = import_module("transformers.utils.logging")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _import_when_used(name: str) -> None:
    """Add a module whose code runs at the first use of an attribute, unless it has been imported."""
    spec = None if name in sys.modules else find_spec(name)
    if spec is None or spec.loader is None:
        return
    above, _, last = name.rpartition(".")
    loader = LazyLoader(spec.loader)
    module = sys.modules[name] = module_from_spec(spec)
    loader.exec_module(module)
    setattr(sys.modules[above], last, module)


@contextmanager
def _replaced(module: ModuleType, name: str) -> Iterator[None]:
    """Let the function return False in the block."""
    old = getattr(module, name)
    setattr(module, name, _no)
    try:
        yield
    finally:
        setattr(module, name, old)


def _unmarked(function: Any = None, *_: Any, **__: Any) -> Any:
    """The function, without the compiler's mark; as a decorator with or without arguments."""
    return _unmarked if function is None else function


def _no() -> bool:
    return False
