"""The protocols that a server offers models by, and which of them fit which tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from hfspec.tasks import table


@dataclass(frozen=True, slots=True)
class Protocol:
    """``title``: for people; ``asks_all``: whether it can ask every task; for the others the table of tasks says which
    can ask which.
    """

    title: str
    asks_all: bool = False


PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {
        "openai": Protocol("OpenAI"),
        "rerank": Protocol("Rerank"),
        "tei": Protocol("Text Embeddings Inference"),
        "v2": Protocol("Open Inference Protocol", asks_all=True),
        "mlflow": Protocol("MLflow", asks_all=True),
        "hfspec": Protocol("hfspec's own", asks_all=True),
    }
)


def fits(protocol: str, library: str, name: str) -> bool:
    """Whether a protocol can ask a task, which is named canonically."""
    task = table.find(library, name)
    return PROTOCOLS[protocol].asks_all or (task is not None and protocol in task.protocols)


@cache
def fitting(library: str, name: str) -> tuple[str, ...]:
    """Every protocol that can ask a task."""
    return tuple(protocol for protocol in PROTOCOLS if fits(protocol, library, name))
