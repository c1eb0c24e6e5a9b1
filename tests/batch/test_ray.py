"""An artifact over a Ray dataset: in a real Ray, an actor of which is killed; and what is said of a wrong batch."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, UsageError
from hfspec.ir.artifact import Artifact
from tests import own_network

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
pq = pytest.importorskip("pyarrow.parquet")

import hfspec.ray  # noqa: E402

ROWS = 40
ERROR = pa.struct([("kind", pa.string()), ("message", pa.string())])


def test_rows_are_answered_once_though_an_actor_is_killed(compiled: Callable[[str], Artifact], tmp_path: Path) -> None:
    own_network.needs("ray.data")
    artifact = compiled("st-dense").path
    script = Path(__file__).with_name("ray_rows.py")
    command = own_network.alone(own_network.PYTHON, str(script), str(artifact), str(tmp_path), str(ROWS))
    done = subprocess.run(
        command, env=own_network.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "killed").exists()
    assert len(list(tmp_path.glob("*.actor"))) == 2, "the artifact is loaded once by each actor"
    found = pq.read_table(tmp_path / "found.parquet").sort_by("id")
    assert found.schema.field("error").type == ERROR
    assert found.schema.field("embedding").type == pa.list_(pa.float32(), 24)
    assert found.column("id").to_pylist() == list(range(ROWS))
    refused = [at for at in range(ROWS) if found.column("error")[at].as_py() is not None]
    assert refused == [at for at in range(ROWS) if at % 7 == 3]
    expected = hfspec.load(artifact).predict([f"text number {at}" for at in range(ROWS) if at not in refused])
    mine = [row for row in found.column("embedding").to_pylist() if row is not None]
    np.testing.assert_allclose(np.array(mine, np.float32), expected, atol=1e-6)


def test_batches_of_other_types_are_answered_each_by_its_own(compiled: Callable[[str], Artifact]) -> None:
    answers = hfspec.ray.Predict(compiled("bert-sentiment").path, keep=[])
    empty = answers(pa.table({"text": pa.array([None, None])}))
    assert [row["kind"] for row in empty.column("error").to_pylist()] == [InputError.__name__] * 2
    found = answers(pa.table({"text": ["good", None]}))
    assert found.schema == empty.schema
    assert (
        found.column("label").to_pylist()[0]
        == hfspec.load(compiled("bert-sentiment").path).predict(["good"])["label"][0]
    )


def test_what_cannot_be_asked_is_told(compiled: Callable[[str], Artifact]) -> None:
    artifact = compiled("bert-sentiment").path
    table = pa.table({"body": ["good"], "id": [1]})
    with pytest.raises(UsageError, match=r'batch is a dict; give map_batches batch_format="pyarrow"'):
        hfspec.ray.Predict(artifact)({"text": ["good"]})  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="the artifact reads text, and the input has the columns body, id"):
        hfspec.ray.Predict(artifact)(table)
    with pytest.raises(UsageError, match="no column name"):
        hfspec.ray.Predict(artifact, columns={"text": "body"}, keep=["name"])(table)
    with pytest.raises(ParamsError, match="no_such"):
        hfspec.ray.Predict(artifact, columns={"text": "body"}, params={"no_such": 1})(table)
