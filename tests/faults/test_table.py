"""Each row of the table of faults, with and without an artifact at the target."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.compiling import write_spec
from tests.faults.table import ELSEWHERE, NEW, ROWS

ROOT = Path(__file__).parent.parent.parent
STARTS = ("nothing", "artifact", "reference")
SCRIPT = """
from tests.faults.running import outcome
print(json.dumps(outcome(NUMBER, START, spec, target)))
"""


@pytest.mark.parametrize(
    ("number", "start"),
    [
        pytest.param(number, start, id=f"{row.fault}-{STARTS[start]}".replace(" ", "_"))
        for number, row in enumerate(ROWS)
        for start in row.starts
    ],
)
def test_fault(number, start, forks, own_copy, tmp_path):
    row = ROWS[number]
    spec, target = write_spec(tmp_path / "specs", own_copy("bert-sentiment")), tmp_path / "out" / "target"
    script = SCRIPT.replace("NUMBER", str(number)).replace("START", str(start))
    found = forks.run(script, spec, target)
    if "not permitted" in found:
        pytest.skip(f"not permitted here: {found['not permitted']}")
    said = found["stderr"]
    print(f"{row.fault}: exit code {found['code']}\n{said}")  # to be read: pytest -rP
    assert "Traceback" not in said
    assert found["code"] == row.code, said
    for part in row.said:
        assert part.format(spec=spec, target=target) in said + found["stdout"] * (row.code == 1), said
    assert found["beside"] == []
    if row.target == NEW:
        assert found["after"] not in (None, "damaged", found["before"])
    else:
        assert found["after"] == found["before"]


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: row.fault.replace(" ", "_"))
def test_what_is_tested_elsewhere_is(row):
    file, _, name = row.test.partition("::")
    assert re.search(rf"^def {name}\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
