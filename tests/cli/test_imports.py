"""What each way in loads, counted in modules: start-up is mostly imports, and they creep in unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys
from hfspec.cli.app import main
sys.argv = ["hfspec", *sys.argv[1:]]
try:
    main()
except SystemExit as left:
    assert not left.code, left.code
print(json.dumps(sorted(sys.modules)))
"""


def loaded(program: str, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_validate_loads_what_checking_takes_and_no_more() -> None:
    found = loaded(RUN, "validate", "specs/minilm.yaml")
    heavy = {"torch", "transformers", "numpy", "pandas", "huggingface_hub", "hydra", "omegaconf", "rich"}
    ours = {"hfspec.ir.spec", "hfspec.ir.lock", "hfspec.language.schema", "hfspec.runtime.load"}
    assert sorted((heavy | ours) & found) == []
    assert len(found) < 480


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["validate", "--help"]])
def test_help_loads_no_library_of_the_language(arguments: list[str]) -> None:
    found = loaded(RUN, *arguments)
    assert not {"jsonschema", "ruamel.yaml", "hydra", "torch", "transformers", "hfspec.compiler"} & found


def test_importing_hfspec_loads_nothing_else() -> None:
    found = loaded("import json, sys, hfspec; print(json.dumps(sorted(sys.modules)))")
    assert {name for name in found if name.partition(".")[0] == "hfspec"} == {"hfspec"}
    assert not {"pydantic", "numpy", "torch"} & found
