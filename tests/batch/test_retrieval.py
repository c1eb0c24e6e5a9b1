"""The example of retrieval: a corpus, an index with the fingerprint of its space, and a query predictor of another."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hfspec.errors import VerificationError
from hfspec.ir.artifact import Artifact

pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
pytest.importorskip("faiss", reason="faiss-cpu is not installed")

from hfspec.batch.job import Job
from hfspec.batch.run import run

TEXTS = ["one row", "another, longer row", "and the third of them"]


@pytest.fixture
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "retrieval.py"
    spec = importlib.util.spec_from_file_location("retrieval", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_query_finds_its_text_and_another_space_is_refused(
    tmp_path: Path, compiled: Callable[[str], Artifact], example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    run(Job(str(compiled("st-dense").path), (str(tmp_path / "corpus.txt"),), str(tmp_path / "out")))
    example.build(tmp_path / "out", tmp_path / "index")
    example.ask(compiled("st-dense").path, tmp_path / "index", TEXTS)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("3 texts of the space ")
    assert said[1:] == [f"{text}: {text} (1.00)" for text in TEXTS]
    with pytest.raises(VerificationError, match="space"):
        example.ask(compiled("minilm-like").path, tmp_path / "index", TEXTS)
