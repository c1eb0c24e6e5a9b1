"""hfspec: describe the deployment of a Hugging Face model in YAML, compile it, run it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hfspec.comparison.diff import diff  # noqa: F401
    from hfspec.compiler import (
        check_lock,  # noqa: F401
        compile,  # noqa: A004, F401
        load_spec,  # noqa: F401
        lock,  # noqa: F401
        persist,  # noqa: F401
        plan,  # noqa: F401
        remarks,  # noqa: F401
        sign,  # noqa: F401
        validate,  # noqa: F401
        verify,  # noqa: F401
    )
    from hfspec.runtime.load import load  # noqa: F401

__version__ = "0.1.0"

# name -> module that defines it; imported at first use, so that `import hfspec` loads nothing heavy.
_PUBLIC = {
    "compile": "hfspec.compiler",
    "load_spec": "hfspec.compiler",
    "validate": "hfspec.compiler",
    "remarks": "hfspec.compiler",
    "plan": "hfspec.compiler",
    "lock": "hfspec.compiler",
    "check_lock": "hfspec.compiler",
    "verify": "hfspec.compiler",
    "persist": "hfspec.compiler",
    "sign": "hfspec.compiler",
    "diff": "hfspec.comparison.diff",
    "load": "hfspec.runtime.load",
    "Predictor": "hfspec.runtime.predictor",
    "Spec": "hfspec.ir.spec",
    "Plan": "hfspec.ir.plan",
    "Artifact": "hfspec.ir.artifact",
    "HfspecError": "hfspec.errors",
    "SpecError": "hfspec.errors",
    "UsageError": "hfspec.errors",
    "WorldError": "hfspec.errors",
    "SourceError": "hfspec.errors",
    "StorageError": "hfspec.errors",
    "VerificationError": "hfspec.errors",
    "ErrorLimitError": "hfspec.errors",
    "LockError": "hfspec.errors",
    "PredictionError": "hfspec.errors",
    "RowError": "hfspec.errors",
    "InputError": "hfspec.errors",
    "ParamsError": "hfspec.errors",
    "OutputError": "hfspec.errors",
    "OutOfMemoryError": "hfspec.errors",
}
__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'hfspec' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
