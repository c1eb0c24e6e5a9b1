"""The backends by name: where each is, what it needs and what it can run. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

AUTO, TORCH, ONEDNN = "auto", "torch", "onednn"
CPU = ("auto", "cpu")
ENCODERS = frozenset(
    [
        ("transformers", "text-classification"),
        ("transformers", "zero-shot-classification"),
        ("transformers", "token-classification"),
        ("sentence-transformers", "feature-extraction"),
        ("sentence-transformers", "sentence-similarity"),
        ("sentence-transformers", "text-ranking"),
    ]
)


@dataclass(frozen=True, slots=True)
class Backend:
    """``put``: MODULE:FUNCTION, of the loaded model and its LoadRequest, that makes the model answer through it.
    ``package``: what must be installed beside hfspec, which has an extra of that name. ``dtypes``: of the weights.
    ``tasks``: library and name of each that it runs, None for all; ``model_types``: those of config.json, None for all.
    """

    put: str
    dtypes: tuple[str, ...]
    package: str | None = None
    tasks: frozenset[tuple[str, str]] | None = None
    model_types: frozenset[str] | None = None


BACKENDS = {
    ONEDNN: Backend("hfspec.runtime.backends.onednn:put", ("float32", "bfloat16")),
    "openvino": Backend(
        "hfspec.runtime.backends.openvino:put",
        ("float32",),
        "openvino",
        ENCODERS,
        frozenset(["albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"]),
    ),
}
NAMES = (AUTO, TORCH, *BACKENDS)

if TYPE_CHECKING:
    BackendName: TypeAlias = str
else:
    BackendName = Literal[NAMES]
