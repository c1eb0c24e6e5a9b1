"""The files of a model of ONNX Runtime's generate(): genai_config.json, graphs, their data, the tokenizer."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from hfspec.errors import SourceError
from hfspec.ir.pins import Reader
from hfspec.libraries.onnxruntime_genai.config import CONFIG
from hfspec.sources.selection import CARD_AND_LICENCES, TOKENIZER, Selection
from hfspec.tasks.task import Task

GRAPHS = re.compile(r"[^/]+\.onnx|[^/]+\.onnx[._]data[^/]*|[^/]+\.data")


def select(names: Sequence[str], reader: Reader, location: str, task: Task) -> Selection:  # noqa: ARG001 - as it is called
    """The files beside the one genai_config.json of the source, and the card and licences at its top.

    Raises SourceError where there is none, or more than one.
    """
    places = sorted(name.removesuffix(CONFIG) for name in names if PurePosixPath(name).name == CONFIG)
    if not places:
        raise SourceError(
            f"{location} has no {CONFIG}, by which onnxruntime-genai knows a model. Found there:"
            f" {', '.join(sorted(names)[:20]) or 'no files'}."
        )
    if len(places) > 1 and "" not in places:
        folders = ", ".join(place.rstrip("/") for place in places)
        raise SourceError(f"{location} has a {CONFIG} in several folders; name one as the model's `folder`: {folders}.")
    needed = {name for name in names if _is_beside(name, places[0]) or CARD_AND_LICENCES.fullmatch(name)}
    skipped = tuple((name, "not used by the library") for name in sorted({*names} - needed))
    return Selection(tuple(sorted(needed)), skipped)


def _is_beside(name: str, place: str) -> bool:
    own = name.removeprefix(place)
    is_needed = own == CONFIG or any(pattern.fullmatch(own) for pattern in (GRAPHS, TOKENIZER))
    return name.startswith(place) and is_needed
