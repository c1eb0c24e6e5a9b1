"""MLflow loads artifacts where hfspec is not installed: by the code that they carry."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hfspec
from hfspec.runtime.io.answers import to_json
from tests.mlflow.conftest import MODES
from tests.mlflow.deployments import DEPLOYMENTS

# Finds hfspec nowhere but in an artifact's archive, whatever is installed here.
PROGRAM = """
import json, sys
from importlib.machinery import PathFinder

class OnlyCarried:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "hfspec":
            carried = [place for place in sys.path if place.endswith("/code/hfspec.zip")]
            found = PathFinder.find_spec(name, carried)
            if found is None:
                raise ModuleNotFoundError("No module named 'hfspec'", name="hfspec")
            return found

sys.meta_path.insert(0, OnlyCarried)
try:
    import hfspec
except ModuleNotFoundError:
    import mlflow
else:
    raise SystemExit("hfspec is there")
from pathlib import Path

answers = []
for folder in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(folder)
    from hfspec.runtime.io.answers import to_json
    answers.append(to_json(model.predict(model.input_example)))
files = {module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "hfspec"}
print(json.dumps({"answers": answers, "files": sorted(files)}))
"""


@pytest.fixture(scope="module")
def carried(artifact, of_mode, shared_folder, tmp_path_factory):
    """What a process without hfspec answers to each artifact's example, and the files of hfspec that it imported."""
    folders = [*(artifact(deployment) for deployment in DEPLOYMENTS), *map(of_mode, MODES)]
    before = [hfspec.verify(folder) for folder in folders]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *map(str, folders)],
        env={**environment, "XDG_CACHE_HOME": str(shared_folder / "cache")},
        cwd=tmp_path_factory.mktemp("empty"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [hfspec.verify(folder) for folder in folders] == before
    return json.loads(done.stdout.strip().splitlines()[-1]), folders


def plain(answer):
    """Without what every answer of the OpenAI API has anew, and to the digits that any number of threads agree on."""
    if isinstance(answer, dict):
        return {key: plain(value) for key, value in answer.items() if key not in {"id", "created"}}
    if isinstance(answer, list):
        return [plain(value) for value in answer]
    return pytest.approx(answer, abs=1e-5) if isinstance(answer, float) else answer


NAMES = [*(deployment.name for deployment in DEPLOYMENTS), *MODES]


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_answers_alike(number, carried):
    found, folders = carried
    answer = found["answers"][number]
    example = json.loads((folders[number] / "input_example.json").read_text())
    expected = to_json(hfspec.load(folders[number]).predict(example))
    if isinstance(answer, dict):
        answer = {key: value for key, value in answer.items() if key not in {"id", "created"}}
    assert answer == plain(expected)


def test_the_first_artifacts_code_serves_all_that_are_loaded_after_it(carried):
    """As with any two MLflow models that carry a package of one name."""
    found, folders = carried
    assert found["files"]
    assert all(Path(file).is_relative_to(folders[0] / "code") for file in found["files"])
