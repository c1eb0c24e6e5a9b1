"""The table of the codes that examining a checkpoint can give is whole."""

from __future__ import annotations

import re
from pathlib import Path

import hfspec
from hfspec.checkpoint.codes import CODES
from hfspec.language.codes import CODES as LANGUAGE_CODES

ROOT = Path(hfspec.__file__).parent
MADE = re.compile(r'(?:\.problem|\.refusal|Problem)\(\s*"([a-z]+(?:-[a-z]+)+)"')


def made() -> set[str]:
    files = [*ROOT.glob("checkpoint/*.py"), *ROOT.glob("artifact/*.py"), *ROOT.glob("stages/*.py")]
    return {code for file in files for code in MADE.findall(file.read_text(encoding="utf-8"))}


def test_every_code_that_is_made_is_in_a_table_and_none_stands_there_in_vain() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in ROOT.rglob("*.py") if file.name != "codes.py")
    assert made() - set(LANGUAGE_CODES) <= set(CODES)
    assert [code for code in CODES if f'"{code}"' not in text] == []
    assert len(made()) >= 12
