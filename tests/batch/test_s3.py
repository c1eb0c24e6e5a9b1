"""Batches from and to `s3://`, at a real S3 server of moto: the same answers, exactly once, whatever happens."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hfspec.errors import StorageError, UsageError
from hfspec.ir.artifact import Artifact
from tests.compiling import tree_of

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")
if folder := os.environ.get("HFSPEC_TEST_PACKAGES"):
    sys.path.append(folder)
for package in ("boto3", "moto", "flask_cors"):
    reason = "moto, an S3 server for tests, is not installed, nor is it in the folder that HFSPEC_TEST_PACKAGES names"
    pytest.importorskip(package, reason=reason)

import pyarrow.parquet as pq  # noqa: E402

from hfspec.batch.job import Job  # noqa: E402
from hfspec.batch.places import Folder, place  # noqa: E402
from hfspec.batch.run import run  # noqa: E402
from hfspec.batch.spans import Sizes  # noqa: E402
from tests.batch.test_batch import killed_after  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = 240


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of the server, whose address and keys are in the environment."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    patch.setenv("AWS_ACCESS_KEY_ID", "testing")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    client = boto3.client("s3")
    client.create_bucket(Bucket="rows")
    yield client
    patch.undo()
    server.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, compiled: Callable[[str], Artifact], s3: Any) -> Path:
    """A folder with the input, which also lies in the bucket, and ``out``, what a job on disk makes of it."""
    folder = tmp_path_factory.mktemp("s3")
    texts = [None if number % 97 == 5 else f"row {number % 13} of many" for number in range(ROWS)]
    for name, rows in (("a", slice(0, 150)), ("b", slice(150, ROWS))):
        table = pa.table({"id": range(ROWS)[rows], "body": texts[rows]})
        (folder / "in" / f"lang={name}").mkdir(parents=True)
        pq.write_table(table, folder / "in" / f"lang={name}" / "rows.parquet", row_group_size=60)
    for path in folder.rglob("*.parquet"):
        s3.upload_file(str(path), "rows", path.relative_to(folder).as_posix())
    run(asked(compiled, str(folder / "in"), str(folder / "out")))
    return folder


def asked(compiled: Callable[[str], Artifact], source: str, output: str, **more: Any) -> Job:
    given = {"columns": {"text": "body"}, "keep": ("id", "lang"), "sizes": Sizes(60, 4000), **more}
    return Job(str(compiled("st-dense").path), (source,), output, **given)


def objects(s3: Any, prefix: str) -> dict[str, bytes]:
    """The objects below, but for the markers of folders."""
    listed = s3.list_objects_v2(Bucket="rows", Prefix=f"{prefix}/").get("Contents", [])
    names = [each["Key"] for each in listed if not each["Key"].endswith("/")]
    return {name.removeprefix(f"{prefix}/"): s3.get_object(Bucket="rows", Key=name)["Body"].read() for name in names}


# The first test of the module: a fork has no threads of pyarrow's S3 client, which must not have been used before it.
def test_killed_it_goes_on_to_the_same_parts_as_on_disk(
    compiled: Callable[[str], Artifact], s3: Any, local: Path
) -> None:
    job = asked(compiled, "s3://rows/in", "s3://rows/killed")
    for rows in (100, 200):
        killed_after(rows, job)
        assert "_SUCCESS" not in objects(s3, "killed")
    assert "part-00000.parquet" in objects(s3, "killed")
    told: list[int] = []
    found = run(job, tell=lambda each: told.append(each.rows))
    assert found.manifest is not None
    assert told[0] > 100  # the parts that were whole were not answered again
    there, here = objects(s3, "killed"), tree_of(local / "out")
    parts = [name for name in here if name.startswith("part-")]
    assert sorted(there) == sorted([*parts, "_SUCCESS", "_manifest.json"])
    assert {name: there[name] for name in parts} == {name: here[name] for name in parts}
    assert json.loads(there["_manifest.json"])["rows"] == ROWS
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket="rows", Prefix="killed/")["Contents"]]
    assert not [key for key in keys if "_journal" in key]
    assert run(job).did_nothing


def test_an_upload_that_was_broken_off_is_no_part(s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Folder(place("s3://rows/broken"))
    upload = s3.create_multipart_upload(Bucket="rows", Key="broken/part-00001.parquet")["UploadId"]
    s3.upload_part(Bucket="rows", Key="broken/part-00001.parquet", UploadId=upload, PartNumber=1, Body=b"half")

    def write(stream: Any) -> None:
        stream.write(b"whole")

    def interrupted(_: Any, out: Any, size: int) -> None:
        out.write(b"h" * size)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder.put("part-00000.parquet", write)
    assert folder.names() == []
    for name in ("part-00000.parquet", "part-00001.parquet"):
        folder.put(name, write)
    assert set(objects(s3, "broken").values()) == {b"whole"}


def test_globs_json_lines_and_a_disk(compiled: Callable[[str], Artifact], s3: Any, local: Path, tmp_path: Path) -> None:
    run(asked(compiled, "s3://rows/in/*/rows.parquet", "s3://rows/lines", output_format="jsonl", limit=70))
    rows = [
        json.loads(line)
        for name, data in sorted(objects(s3, "lines").items())
        for line in data.splitlines()
        if name.startswith("part-")
    ]
    assert [row["id"] for row in rows] == list(range(70))
    run(asked(compiled, "s3://rows/in/lang=b/rows.parquet", str(tmp_path / "out"), where="id >= 200"))
    found = pq.read_table(sorted((tmp_path / "out").glob("part-*")))
    assert found.column("id").to_pylist() == list(range(200, ROWS))


def test_a_changed_object_and_another_s_output_are_refused(
    compiled: Callable[[str], Artifact], s3: Any, local: Path
) -> None:
    stop = threading.Event()
    s3.upload_file(str(local / "in/lang=a/rows.parquet"), "rows", "change/rows.parquet")
    job = asked(compiled, "s3://rows/change", "s3://rows/changed", keep=("id",))
    assert run(job, stop=stop, tell=lambda _: stop.set()).manifest is None
    s3.upload_file(str(local / "in/lang=b/rows.parquet"), "rows", "change/rows.parquet")
    with pytest.raises(UsageError, match=r"differs in input: s3://rows/change/rows\.parquet"):
        run(job)
    assert run(job, overwrite=True).manifest is not None
    s3.put_object(Bucket="rows", Key="thesis/thesis.txt", Body=b"mine")
    with pytest.raises(UsageError, match="s3://rows/thesis is not empty, and no batch wrote it"):
        run(asked(compiled, "s3://rows/change", "s3://rows/thesis", keep=("id",)), overwrite=True)
    assert objects(s3, "thesis") == {"thesis.txt": b"mine"}


@pytest.mark.parametrize(
    ("source", "output", "error", "said"),
    [
        ("s3://rows/nowhere", "s3://rows/x1", UsageError, "s3://rows/nowhere does not exist"),
        ("s3://rows/in/*.csv", "s3://rows/x2", UsageError, "there is no file that fits this pattern"),
        ("s3://no-such-bucket/in", "s3://rows/x3", UsageError, "does not exist"),
        ("s3://rows/in", "s3://no-such-bucket/out", StorageError, "s3://no-such-bucket/out"),
    ],
)
def test_what_is_not_there_is_named(
    compiled: Callable[[str], Artifact],
    s3: Any,
    local: Path,
    source: str,
    output: str,
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said.replace("*", r"\*")):
        run(asked(compiled, source, output))
