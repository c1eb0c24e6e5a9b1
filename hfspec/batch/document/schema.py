"""The JSON Schema of batch files, generated from the models; draft 2020-12."""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any

from pydantic import Strict, create_model

from hfspec.batch.document.values import Batch
from hfspec.language.layered import DEFAULTS, Entry, layered_model
from hfspec.language.schema import DIALECT, definitions_of

_HEAD = {
    "$schema": DIALECT,
    "$id": "urn:hfspec:schema:batch:1",
    "title": "hfspec batch",
    "description": "Rows of files through an artifact, into files: what `hfspec batch` reads.",
    "type": "object",
}


@cache
def batch_schema() -> dict[str, Any]:
    """The schema of a batch file: a whole one, or one laid over others with ``defaults:``. Not to be changed."""
    defaults = Annotated[tuple[Entry, ...], Strict(strict=False)]
    layered = create_model(
        "LayeredBatch",
        __base__=layered_model(Batch),
        __doc__="A batch laid over others; what it leaves out, they say.",
        defaults=(defaults, DEFAULTS),
    )
    whole, over = {"$ref": "#/$defs/Batch"}, {"$ref": "#/$defs/LayeredBatch"}
    condition = {"if": {"required": ["defaults"]}, "then": over, "else": whole}
    return {**_HEAD, **condition, "$defs": definitions_of([Batch, layered])}


@cache
def composed_schema() -> dict[str, Any]:
    """The schema of a composed batch, which has no ``defaults`` left. Not to be changed."""
    return {**_HEAD, "$ref": "#/$defs/Batch", "$defs": definitions_of([Batch])}


def schema_text() -> str:
    """The content of schemas/batch.schema.json."""
    return json.dumps(batch_schema(), indent=2, ensure_ascii=False) + "\n"
