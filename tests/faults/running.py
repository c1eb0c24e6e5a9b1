"""A row of the table, run in this process, which is a fork and ends with it."""

from __future__ import annotations

import os
from pathlib import Path

import hfspec
from tests.faults import world
from tests.faults.table import ROWS


def outcome(number: int, start: int, spec: str, target: str) -> dict[str, object]:
    """The command's exit code and texts, the digests at the target before and after it, and what lies beside it."""
    row = ROWS[number]
    place = Path(target)
    scraps = place.parent.parent / "scraps"
    scraps.mkdir()
    os.environ["XDG_CACHE_HOME"] = str(scraps / "xdg")
    model = Path(spec).parent.parent / "own" / "bert-sentiment"
    here = world.World(Path(spec), model, place, scraps)
    try:
        if row.disk:
            world.mount(here, here.parent, row.disk)
        if start:
            hfspec.compile(spec, output=target, overrides=["save_mode=reference"] if start == 2 else [])
        before = world.held(place)
        with row.inject(here):
            names = {"spec": spec, "target": target, "parent": str(here.parent), "model": str(model)}
            code, stdout, stderr = world.command(here, *(part.format(**names) for part in row.command))
        after = world.held(place)
    except world.NotPermittedError as error:
        return {"not permitted": str(error)}
    return {
        "code": code,
        "stdout": stdout,
        "stderr": stderr,
        "before": before,
        "after": after,
        "beside": here.beside(),
    }
