"""Whether the spec's backend can run the checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hfspec.ir.backends import BACKENDS
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree

PATH: KeyPath = ("runtime", "backend")


def backend_problems(tree: Tree, spec: Spec, config: Mapping[str, Any], dtype: str) -> Iterator[Problem]:
    """``config``: the checkpoint's; ``dtype``: of its weights, as they are saved."""
    name, dtype = spec.runtime.backend, spec.runtime.computed_dtype(dtype)
    backend = BACKENDS.get(name)
    if backend is None:
        return
    origin, model_type = tree.origin(PATH), str(config.get("model_type"))
    if dtype not in backend.dtypes:
        expected = f"weights of {' or '.join(backend.dtypes)}"
        remedy = (
            f"Write `dtype: {backend.dtypes[0]}`, or `compute_dtype: {backend.dtypes[0]}` under `runtime`, or remove"
            " the backend."
        )
        message = f"The backend {name} does not run the weights as they are loaded."
        yield Problem("backend-not-possible", message, origin, PATH, expected=expected, found=dtype, remedy=remedy)
    if backend.model_types is not None and model_type not in backend.model_types:
        expected = f"a model type among {', '.join(sorted(backend.model_types))}"
        message = f"The backend {name} does not run this architecture."
        yield Problem(
            "backend-not-possible",
            message,
            origin,
            PATH,
            expected=expected,
            found=model_type,
            remedy="Remove the backend.",
        )


def backend_package(spec: Spec) -> tuple[str, ...]:
    """The packages that the artifact's requirements need for the spec's backend."""
    backend = BACKENDS.get(spec.runtime.backend)
    return (backend.package,) if backend is not None and backend.package is not None else ()
