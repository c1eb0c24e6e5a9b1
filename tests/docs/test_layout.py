"""The folders of the tests: the rooms of hfspec, and the few that go through several of them."""

from __future__ import annotations

from pathlib import Path

import hfspec

TESTS = Path(__file__).parents[1]
ACROSS_ROOMS = {"docs", "examples", "faults", "hostile", "mlflow", "reference", "released", "serving", "specs"}
MATERIAL = {"checkpoints", "golden", "hub"}


def folders(root: Path) -> set[str]:
    """Every folder that holds Python files, as a path from the root."""
    return {file.parent.relative_to(root).as_posix() for file in root.rglob("*.py")} - {"."}


def test_every_folder_of_tests_is_a_room_or_goes_through_several():
    rooms = folders(Path(hfspec.__file__).parent)
    others = ACROSS_ROOMS | MATERIAL
    assert not {name for name in folders(TESTS) if name.split("/")[0] not in others} - rooms
