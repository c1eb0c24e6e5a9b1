"""Answers with objects in them, as a detector of objects would give: their columns, and tables that have them."""

from __future__ import annotations

from typing import Any

import numpy as np

from hfspec.ir.signature import Column
from hfspec.runtime.io.answers import Table

SIDES = ("xmin", "ymin", "xmax", "ymax")
BOX = Column("object", "box", fields=tuple(Column("long", name) for name in SIDES))
MASK = Column("array", "mask", required=False, fields=(Column("array", fields=(Column("boolean"),)),))
FIELDS = (Column("string", "label"), Column("double", "score"), BOX, MASK)
OBJECTS = Column("array", "objects", fields=FIELDS)
BEST = Column("object", "best", required=False, fields=FIELDS)
OUTPUTS = (Column("long", "row"), OBJECTS, BEST)


def cat(**others: Any) -> dict[str, Any]:
    box = {"xmin": 1, "ymin": 2, "xmax": 30, "ymax": 40}
    return {"label": "cat", "score": 0.75, "box": box, "mask": np.array([[True, False]]), **others}


def table(*objects: Any, best: Any = None, row: int = 7) -> Table:
    """A row of no objects, then one of these, which says that it is row number ``row``."""
    lines = ((0, [], None), (row, list(objects), best))
    return Table({"row": "long", "objects": "array", "best": "object"}, lines)
