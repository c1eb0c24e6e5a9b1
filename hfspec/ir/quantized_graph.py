"""The manifest's account of a quantised graph, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_NOUNS = {
    "calibration": ("calibration example", "calibration examples"),
    "golden": ("golden example", "golden examples"),
    "plain": ("batch of plain inputs", "batches of plain inputs"),
}


def distance(account: Mapping[str, Any]) -> str:
    """Say how far a quantised graph's numbers are from those before.

    Args:
        account: What the manifest says of it.

    Returns:
        A phrase that begins with the distance.
    """
    allowed = "any distance" if account["tolerance"] is None else f"{account['tolerance']:g}"
    examples = " and ".join(_counted(kind, count) for kind, count in account["measured_on"].items())
    also = {"same_answers": "{:.2%} of the answers are the same", "least_cosine": "the least cosine is {:g}"}
    more = "".join(f"; {words.format(account[name])}" for name, words in also.items() if name in account)
    return f"{account['difference']:g} from the numbers of float32 over {examples} ({allowed} is allowed){more}"


def _counted(kind: str, count: int) -> str:
    if kind == "input_example":
        return "the input example"
    one, many = _NOUNS.get(kind, (kind, kind))
    return f"{count} {one if count == 1 else many}"
