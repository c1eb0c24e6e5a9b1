"""The files of a model of ONNX Runtime's generate(): genai_config.json, the graph and its data wherever these say that
they are, the tokenizer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from hfspec.checkpoint.graphs.data_files import data_files
from hfspec.errors import SourceError
from hfspec.ir.pins import Reader
from hfspec.libraries.onnxruntime_genai.config import CONFIG, faults
from hfspec.sources.selection import CARD_AND_LICENCES, TOKENIZER, Selection
from hfspec.tasks.task import Task

GRAPHS = re.compile(r"[^/]+\.onnx|[^/]+\.onnx[._]data[^/]*|[^/]+\.data")


def select(names: Sequence[str], reader: Reader, location: str, task: Task) -> Selection:  # noqa: ARG001 - as it is called
    """The files of the one genai_config.json of the source, and the card and licences at its top.

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
    needed |= _graph_files(names, reader, places[0])
    skipped = tuple((name, "not used by the library") for name in sorted({*names} - needed))
    return Selection(tuple(sorted(needed)), skipped)


def _graph_files(names: Sequence[str], reader: Reader, place: str) -> set[str]:
    """The graph that the config names and its data; none where the config cannot be read: the plan says why."""
    try:
        document = json.loads(reader.small(f"{place}{CONFIG}").read_bytes())
    except ValueError:
        return set()
    if any(faults(document)):
        return set()
    path = (PurePosixPath(place) / document["model"]["decoder"]["filename"]).as_posix()
    return {path, *data_files(reader, path)}.intersection(names) if path in names else set()


def _is_beside(name: str, place: str) -> bool:
    own = name.removeprefix(place)
    is_needed = own == CONFIG or any(pattern.fullmatch(own) for pattern in (GRAPHS, TOKENIZER))
    return name.startswith(place) and is_needed
