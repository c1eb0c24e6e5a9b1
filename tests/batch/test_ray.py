"""One batch file by each engine, and an artifact over a dataset, on a real Ray cluster of three nodes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hfspec
from hfspec.errors import InputError, ParamsError, UsageError
from hfspec.ir.artifact import Artifact
from tests import own_network
from tests.batch.spark_processes import spark_workers
from tests.compiling import tree_of
from tests.ray_cluster import LONG, Cluster

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
pq = pytest.importorskip("pyarrow.parquet")

import hfspec.ray  # noqa: E402
from hfspec.batch.document.loading import load_batch  # noqa: E402
from hfspec.batch.job import Job  # noqa: E402
from hfspec.batch.run import run  # noqa: E402
from hfspec.batch.spans import Sizes  # noqa: E402
from tests.batch.test_batch import killed_after  # noqa: E402

ROWS = 40
MANY = 3000
ERROR = pa.struct([("kind", pa.string()), ("message", pa.string())])


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    own_network.needs("ray.data")
    with Cluster(nodes=3, cores=1) as found:
        yield found


@pytest.fixture(scope="module")
def dense(compiled: Callable[[str], Artifact]) -> str:
    return str(compiled("st-dense").path)


@pytest.fixture(scope="module")
def job(dense: str, tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    texts = [None if number % 97 == 5 else f"row {number % 13} of many" for number in range(MANY)]
    pq.write_table(pa.table({"id": range(MANY), "body": texts}), folder / "in.parquet", row_group_size=500)
    return Job(dense, (str(folder / "in.parquet"),), "", columns={"text": "body"}, sizes=Sizes(50, 4000))


@pytest.fixture(scope="module")
def file(job: Job, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A batch file for the job, and beside it ``quiet``, what this process makes of it undisturbed."""
    folder = tmp_path_factory.mktemp("file")
    document = {
        "artifact": job.artifact,
        "input": {"paths": list(job.inputs), "map": dict(job.columns)},
        "output": {"path": "out", "part_rows": job.sizes.rows, "part_bytes": job.sizes.bytes},
        "threads": 1,
    }
    (folder / "batch.yaml").write_text(json.dumps(document), encoding="utf-8")
    run(load_batch(folder / "batch.yaml", [f"output.path={folder / 'quiet'}"]))
    return folder / "batch.yaml"


def parts(output: Path) -> int:
    return len(list(output.glob("part-*")))


def started(*command: str) -> subprocess.Popen[str]:
    return subprocess.Popen(command, env=own_network.environment(), text=True, stderr=subprocess.PIPE)


def wait_for(process: subprocess.Popen[str], is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LONG
    while not is_so():
        if process.poll() not in {None, -signal.SIGKILL} or time.monotonic() > until:
            process.kill()
            pytest.fail(f"it did not come to this: {process.communicate()[1]}")
        time.sleep(0.01)


def ended(driver: subprocess.Popen[str], output: Path) -> None:
    assert not (output / "_SUCCESS").exists()
    said = driver.communicate(timeout=LONG)[1]
    assert driver.returncode == 0, said
    assert f"{MANY} rows, 31 of them with an error (31 InputError)" in said


@contextmanager
def held(processes: Callable[[], set[int]]) -> Iterator[Callable[[], int]]:
    """A function that holds the processes there are by SIGSTOP, and says how many are held; they go on afterwards."""
    stopped: set[int] = set()

    def hold() -> int:
        for each in processes() - stopped:
            os.kill(each, signal.SIGSTOP)
            stopped.add(each)
        return len(stopped & processes())

    try:
        yield hold
    finally:
        for each in stopped & processes():
            os.kill(each, signal.SIGCONT)


def by_local(request: pytest.FixtureRequest, file: Path, output: Path) -> None:
    """By a process that is killed, and another that is not."""
    job = load_batch(file, [f"output.path={output}"])
    killed_after(MANY // 3, job)
    assert 0 < parts(output) < MANY // 50
    run(job)


def by_ray(request: pytest.FixtureRequest, file: Path, output: Path) -> None:
    """By a command that is killed, and another, of whose three actors one is killed, and then a node; while all others
    are held, one that joins goes on alone, and leaves again.
    """
    cluster: Cluster = request.getfixturevalue("cluster")
    arguments = ("batch", str(file), f"output.path={output}", "engine=ray", "--address", cluster.address)

    def actors() -> set[int]:
        return set(cluster.processes("ray::Actor"))

    driver = started(*cluster.python("-m", "hfspec", *arguments, "replicas=1"))
    wait_for(driver, lambda: parts(output) > 5)
    driver.kill()
    driver.communicate(timeout=LONG)
    wait_for(driver, lambda: not actors())
    before = parts(output)
    assert not (output / "_SUCCESS").exists()
    driver = started(*cluster.python("-m", "hfspec", *arguments, "replicas=3"))
    wait_for(driver, lambda: parts(output) > before and len(actors()) == 3)
    os.kill(min(actors()), signal.SIGKILL)
    cluster.do("kill")
    with held(actors) as are_held:
        wait_for(driver, lambda: are_held() == 2)
        before = parts(output)
        cluster.do("add")
        wait_for(driver, lambda: parts(output) > before)
        cluster.do("leave")
    ended(driver, output)


def by_spark(request: pytest.FixtureRequest, file: Path, output: Path) -> None:
    """By a command whose Python worker is killed."""
    python = os.environ.get("HFSPEC_SPARK_PYTHON", sys.executable)
    is_there = subprocess.run([python, "-c", "import pyspark"], capture_output=True, timeout=LONG, check=False)
    if is_there.returncode or shutil.which("java") is None:
        pytest.skip("HFSPEC_SPARK_PYTHON names no Python with pyspark, or there is no Java")
    arguments = ("batch", str(file), f"output.path={output}", "engine=spark", "replicas=1", "--master", "local[2]")
    driver = started(python, "-m", "hfspec", *arguments)
    wait_for(driver, lambda: parts(output) > 5)
    (worker,) = spark_workers(driver.pid)
    os.kill(worker, signal.SIGKILL)
    ended(driver, output)


@pytest.mark.parametrize("by", [by_local, by_ray, by_spark])
def test_one_batch_file_has_the_same_bytes_by_each_engine_whatever_is_killed(
    request: pytest.FixtureRequest, file: Path, tmp_path: Path, by: Callable[..., None]
) -> None:
    by(request, file, tmp_path / "out")
    assert tree_of(tmp_path / "out") == tree_of(file.with_name("quiet"))


def test_what_is_asked_is_done_and_what_cannot_be_is_told(cluster: Cluster, job: Job, tmp_path: Path) -> None:
    lines = [json.dumps({"id": number, "body": f"text {number}"}) for number in range(300)]
    lines[107] = "{bad"
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    good = {"inputs": [str(tmp_path / "in.jsonl")], "where": "id > 99", "limit": 150, "output_format": "jsonl"}
    wrong = [
        ({"params": {"no_such": 1}}, "ParamsError", "no_such"),
        ({"gpus": 1}, "UsageError", "no node of the cluster has 1 CPU and 1 GPU for a worker; at most 1 CPU"),
        ({"device": "cuda"}, "UsageError", "no node of the cluster has 1 CPU and 1 GPU"),
        ({"threads": 2}, "UsageError", "no node of the cluster has 2 CPU"),
    ]
    whole = {"artifact": job.artifact, "inputs": list(job.inputs), "columns": {"text": "body"}, "sizes": [100, 1000]}
    jobs = [{**whole, **more, "output": str(tmp_path / f"wrong-{at}")} for at, (more, *_) in enumerate(wrong)]
    jobs.append({**whole, **good, "output": str(tmp_path / "good"), "autoscaling": [1, 2]})
    (tmp_path / "jobs.json").write_text(json.dumps(jobs), encoding="utf-8")
    command = cluster.python("-m", "tests.batch.ray_jobs", cluster.address, str(tmp_path / "jobs.json"))
    done = subprocess.run(
        command, env=own_network.environment(), capture_output=True, text=True, timeout=LONG, check=False
    )
    assert done.returncode == 0, done.stderr
    *told, last = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for found, (_, kind, said) in zip(told, wrong, strict=True):
        assert (found["kind"], said in found["said"]) == (kind, True), found
    assert not list(tmp_path.glob("wrong-*/part-*")), "nothing is written by a job that cannot be"
    assert last == {"rows": 150}
    local: dict[str, Any] = {**whole, **good, "inputs": tuple(good["inputs"]), "sizes": Sizes(100, 1000)}
    run(Job(**local, output=str(tmp_path / "local")))
    assert tree_of(tmp_path / "good") == tree_of(tmp_path / "local")


def test_rows_are_answered_once_though_an_actor_is_killed(cluster: Cluster, dense: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("ray_rows.py")
    command = cluster.python(str(script), cluster.address, dense, str(tmp_path), str(ROWS))
    done = subprocess.run(
        command, env=own_network.environment(), capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "killed").exists()
    assert len(list(tmp_path.glob("*.actor"))) == 2, "the artifact is loaded once by each actor"
    found = pq.read_table(tmp_path / "found.parquet").sort_by("id")
    assert found.schema.field("error").type == ERROR
    assert found.schema.field("embedding").type == pa.list_(pa.float32())
    assert found.column("id").to_pylist() == list(range(ROWS))
    refused = [at for at in range(ROWS) if found.column("error")[at].as_py() is not None]
    assert refused == [at for at in range(ROWS) if at % 7 == 3]
    expected = hfspec.load(dense).predict([f"text number {at}" for at in range(ROWS) if at not in refused])
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


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"replicas": 2}, "replicas is for a cluster, and the engine is local; give --engine ray"),
        ({"address": "auto"}, "address is for a cluster"),
        ({"autoscaling": (1, 2)}, "autoscaling is for a cluster"),
        ({"gpus": 0.0}, "gpus is for a cluster"),
        ({"engine": "dask"}, "--engine dask: expected local or ray"),
    ],
)
def test_what_an_engine_does_not_have_is_told(job: Job, tmp_path: Path, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        run(replace(job, output=str(tmp_path / "out"), **more))
    assert not (tmp_path / "out").exists()
