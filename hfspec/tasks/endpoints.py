"""The protocols that a server offers models by, and which of them fit which tasks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from hfspec.tasks import table

# Protocol -> whether it can ask every task; of the others the table of tasks says which ask which.
PROTOCOLS: Mapping[str, bool] = MappingProxyType(
    {"openai": False, "rerank": False, "tei": False, "v2": True, "mlflow": True, "hfspec": True}
)


def fits(protocol: str, library: str, name: str) -> bool:
    """Whether a protocol can ask a task, which is named canonically."""
    task = table.find(library, name)
    return PROTOCOLS[protocol] or (task is not None and protocol in task.protocols)


@cache
def fitting(library: str, name: str) -> tuple[str, ...]:
    """Every protocol that can ask a task."""
    return tuple(protocol for protocol in PROTOCOLS if fits(protocol, library, name))
