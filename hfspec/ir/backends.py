"""The backends by name: where each is, what it needs and what it can run. No torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from hfspec.ir.lazy import named

AUTO, TORCH, ONEDNN = "auto", "torch", "onednn"
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
    """How a backend loads a model, and what it can run. One of ``put`` and ``load`` is stated."""

    dtypes: tuple[str, ...]
    """Dtypes of the weights."""
    put: str = ""
    """``MODULE:FUNCTION`` of the model that torch has loaded and of its LoadRequest: makes the model answer through the
    backend, and gives it as ``Patched``.
    """
    load: str = ""
    """``MODULE:FUNCTION`` of the LoadRequest, the model's class and the folder of its files: the model as the backend
    itself reads it, as ``Patched``; raises UsageError or StorageError. torch loads no weights; the
    model is a ``torch.nn.Module``, which need hold none, with ``config``, ``dtype`` and ``device``, and answers calls
    as the class does. One that needs no torch at all is a library (``hfspec/tasks/libraries.py``).
    """
    devices: tuple[str, ...] = ("cpu",)
    """The kinds of devices, as torch names them, the usual one first."""
    package: str | None = None
    """The package that must be installed beside hfspec, which has an extra of that name."""
    tasks: frozenset[tuple[str, str]] | None = None
    """Library and name of each task that it runs; None for all."""
    model_types: frozenset[str] | None = None
    """The model types of config.json that it runs; None for all."""

    def part(self, name: str) -> Any:
        """The function that the field ``name`` names, imported."""
        return named(getattr(self, name))

    def takes(self, device: str | None) -> bool:
        """Whether it runs on the device that was asked for; None and ``auto`` leave it to the backend."""
        return device in (None, AUTO) or str(device).partition(":")[0] in self.devices

    @property
    def where(self) -> str:
        """Its devices, in words."""
        return " or ".join("the CPU" if device == "cpu" else device for device in self.devices)


BACKENDS = {
    ONEDNN: Backend(("float32", "bfloat16"), put="hfspec.runtime.backends.onednn:put"),
    "openvino": Backend(
        ("float32",),
        put="hfspec.runtime.backends.openvino:put",
        package="openvino",
        tasks=ENCODERS,
        model_types=frozenset(
            ["albert", "bert", "camembert", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta"]
        ),
    ),
}
NAMES = (AUTO, TORCH, *BACKENDS)

if TYPE_CHECKING:
    BackendName: TypeAlias = str
else:
    BackendName = Literal[NAMES]
