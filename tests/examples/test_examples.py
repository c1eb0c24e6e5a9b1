"""Each example runs as its reader would run it, and prints what it promises."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests import interpreters

ROOT = Path(__file__).parents[2]


def run(*command: object, commands: Path = Path(sys.executable).parent) -> str:
    """What the command prints; offline, from the project's folder, with this environment's commands first."""
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PATH": path}
    words = [str(word) for word in command]
    done = interpreters.run(words, cwd=ROOT, env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def minilm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import hfspec

    return hfspec.compile(ROOT / "specs" / "minilm.yaml", output=tmp_path_factory.mktemp("minilm") / "minilm").path


def test_similarities(minilm: Path) -> None:
    lines = run(sys.executable, "examples/similarities.py", minilm).splitlines()
    rows = [[float(number) for number in re.findall(r"-?\d\.\d\d", line)] for line in lines]
    assert [len(row) for row in rows] == [4, 4, 4, 4]
    assert rows[0][1] > rows[0][2]
    assert rows[2][3] > rows[2][1]


def test_serving(minilm: Path) -> None:
    printed = run(sys.executable, "examples/serving.py", minilm)
    assert "/invocations: 2 sentences, 384 numbers each" in printed
    assert "the same to 5 digits: True" in printed


def test_quickstart() -> None:
    printed = run(sys.executable, "examples/quickstart.py")
    assert "(2, 384)" in printed
    assert "BertModel" in printed


def test_semantic_search() -> None:
    blocks = run(sys.executable, "examples/semantic_search.py").split("\n")
    assert "museum" in blocks[1]
    assert any("sun" in line or "magnetic" in line for line in blocks[5:7])
    assert any("interest rates" in line for line in blocks[9:12])


def test_overrides(tmp_path: Path) -> None:
    commands = interpreters.put_command(tmp_path / "bin")
    printed = run("bash", "examples/overrides.sh", tmp_path, commands=commands)
    assert "dtype: bfloat16" in printed
    assert sorted(path.name for path in (tmp_path / "sweep").iterdir()) == ["dtype-float16", "dtype-float32"]
    assert not (tmp_path / "never").exists()


def test_sentence_embeddings() -> None:
    printed = run(sys.executable, "examples/sentence_embeddings.py")
    assert "gives float32 of shape (-1, 384)" in printed
    assert printed.count("has 384 numbers") == 2
    assert 0.2 < float(printed.split()[-1]) < 0.7


def test_paraphrase_mining() -> None:
    lines = run(sys.executable, "examples/paraphrase_mining.py").splitlines()
    scores = [float(line.split()[0]) for line in lines]
    assert scores == sorted(scores, reverse=True)
    assert len(lines) == 12
    assert "Is breakfast included in the price?  |  Does the price include breakfast?" in lines[0]
    assert not any("Whales" in line or "eggs" in line for line in lines)


def test_adapter() -> None:
    _, *lines = run(sys.executable, "examples/adapter.py").splitlines()
    base, beside, merged, by_reference = ([float(word) for word in re.findall(r"\d+\.\d+", line)] for line in lines)
    assert beside[0] > base[0] + 0.03
    assert beside[:2] == pytest.approx(merged[:2], abs=2e-3)
    assert beside[:2] == by_reference[:2]
    assert by_reference[2] < 5 < merged[2] < beside[2]
