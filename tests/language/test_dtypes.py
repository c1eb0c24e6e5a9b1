"""One list of dtypes: a row of it is all that a dtype needs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hfspec
from hfspec.ir.dtypes import BY_TORCH_NAME, DTYPES, RUNNABLE, torch_dtype
from hfspec.language.schema import spec_schema
from tests.released.make import ARTIFACTS

ROW = '"F64": Dtype("float64", 64, Arithmetic(1e-6, 1e-4)),'
WITHOUT = '"F64": Dtype("float64", 64),'
TRY = """
import json, sys
from pathlib import Path
import hfspec
from hfspec.language.schema import composed_text, spec_schema
from hfspec.runtime.io.finite import not_finite
generated = Path(hfspec.__file__).parent / "language" / "composed.schema.json"
generated.write_text(composed_text(), encoding="utf-8")  # as `hfspec schema` does
try:
    loaded = hfspec.load(sys.argv[2], dtype="float64").dtype
except hfspec.UsageError as error:
    loaded = str(error)
problems = [problem.expected.removeprefix("one of ").split(", ") for problem in hfspec.validate(sys.argv[1])]
print(json.dumps({"problems": problems, "loaded": loaded, "schema": json.dumps(spec_schema())}))
"""


def enum_of(names: tuple[str, ...]) -> str:
    return f'"enum": {json.dumps(["auto", *names])}'


@pytest.mark.parametrize("name", DTYPES)
def test_each_row_is_torchs(name):
    dtype = DTYPES[name]
    made = torch_dtype(name)
    assert (str(made), torch_dtype(dtype.name)) == (f"torch.{dtype.name}", made)
    assert made.itemsize * 8 == dtype.bits
    assert BY_TORCH_NAME[dtype.name] == name


def test_the_spec_asks_for_those_that_a_model_is_run_in():
    assert enum_of(RUNNABLE) in json.dumps(spec_schema())
    assert RUNNABLE == ("float32", "float16", "bfloat16", "float64")
    assert all(name in RUNNABLE for dtype in DTYPES.values() if dtype.arithmetic for name in dtype.arithmetic.wider)


@pytest.mark.parametrize("wrong", ["float8_e5m2", "int8", "F16", "torch.float16", "half", "", 16, None, ["float16"]])
def test_nothing_else_is_a_dtype_of_a_spec(wrong, tmp_path):
    spec = tmp_path / "spec.yaml"
    document = {"spec_version": 1, "library": "transformers", "task": "text-generation", "model": {"repo": "me/it"}}
    spec.write_text(json.dumps({**document, "dtype": wrong}))
    assert [problem.path for problem in hfspec.validate(spec)] == [("dtype",)]


@pytest.mark.parametrize("has_row", [True, False])
def test_a_row_decides_everywhere(has_row, tmp_path):
    """A copy of hfspec with the row of float64 as it is, and without its arithmetic: specs and load follow."""
    package = Path(shutil.copytree(Path(hfspec.__file__).parent, tmp_path / "copy" / "hfspec"))
    table = package / "ir" / "dtypes.py"
    text = table.read_text(encoding="utf-8")
    assert ROW in text
    table.write_text(text if has_row else text.replace(ROW, WITHOUT), encoding="utf-8")
    spec = tmp_path / "spec.yaml"
    document = {"spec_version": 1, "library": "transformers", "task": "text-generation", "model": {"repo": "me/it"}}
    spec.write_text(json.dumps({**document, "dtype": "float64"}))
    done = subprocess.run(
        [sys.executable, "-c", TRY, str(spec), str(ARTIFACTS / "0.1.0" / "classifier")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    names = RUNNABLE if has_row else RUNNABLE[:-1]
    assert enum_of(names) in said["schema"]
    assert [set(names) for names in said["problems"]] == ([] if has_row else [{"auto", *names}])
    refused = f"dtype must be one of auto, {', '.join(names)}, not 'float64'."
    assert said["loaded"] == ("float64" if has_row else refused)
