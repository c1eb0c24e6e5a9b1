"""`hfspec batch`, as users call it: rows in, typed rows out, once each, whatever happens on the way."""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import hfspec
from hfspec.cli.app import app
from hfspec.errors import ErrorLimitError, StorageError, UsageError
from hfspec.integrity.verification import read_manifest
from hfspec.ir.artifact import Artifact
from hfspec.tasks.libraries import LIBRARIES
from tests.compiling import tree_of
from tests.permissions import enforced

pa = pytest.importorskip("pyarrow", reason="the extra `batch` is not installed")

import pyarrow.parquet as pq  # noqa: E402
from pyarrow import ipc  # noqa: E402

from hfspec.batch.engines.local import Local  # noqa: E402
from hfspec.batch.engines.table import Row  # noqa: E402
from hfspec.batch.job import Job, max_errors  # noqa: E402
from hfspec.batch.planning import plan  # noqa: E402
from hfspec.batch.run import Outcome, run  # noqa: E402
from hfspec.batch.spans import Sizes  # noqa: E402
from hfspec.batch.work import Handed, Made, Seen, Work  # noqa: E402

ROWS = 500


@pytest.fixture(scope="module")
def dense(compiled: Callable[[str], Artifact]) -> str:
    return str(compiled("st-dense").path)


@pytest.fixture
def table() -> Any:
    texts = [None if number % 97 == 5 else f"row {number % 13} of many" for number in range(ROWS)]
    return pa.table({"id": range(ROWS), "body": texts})


@pytest.fixture
def parquet(tmp_path: Path, table: Any) -> str:
    of_parquet(tmp_path / "in.parquet", table)
    return str(tmp_path / "in.parquet")


def asked(artifact: str, inputs: str | list[str], output: Path, **more: Any) -> Job:
    given = {"columns": {"text": "body"}, "sizes": Sizes(100, 4000), **more}
    return Job(artifact, (inputs,) if isinstance(inputs, str) else tuple(inputs), str(output), **given)


def read(output: Path) -> Any:
    return pq.read_table(sorted(output.glob("part-*.parquet")))


def killed_after(rows: int, job: Job) -> None:
    """A process that does the job and is killed by SIGKILL once it has answered so many rows."""
    child = os.fork()
    if child == 0:
        try:
            run(job, tell=lambda told: os.kill(os.getpid(), signal.SIGKILL) if told.rows >= rows else None)
        finally:
            os._exit(1)
    until = time.monotonic() + 200
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0) and time.monotonic() < until:
        time.sleep(0.02)
    if ended == (0, 0):
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
        pytest.fail("the job did not come to its end")
    assert os.WTERMSIG(ended[1]) == signal.SIGKILL


def test_parquet_in_parquet_out_as_predict_answers(dense: str, parquet: str, table: Any, tmp_path: Path) -> None:
    found = run(asked(dense, parquet, tmp_path / "out"))
    assert found.manifest is not None
    rows = read(tmp_path / "out")
    assert rows.select(["id", "body"]).equals(table)
    model = hfspec.load(dense)
    whole = [text for text in table.column("body").to_pylist() if text is not None]
    expected = dict(zip(whole, model.predict(whole), strict=True))
    for text, vector, error in zip(
        *(rows.column(name).to_pylist() for name in ("body", "embedding", "error")), strict=True
    ):
        assert (text is None) == (vector is None) == (error is not None)
        if text is not None:
            np.testing.assert_allclose(vector, expected[text], atol=1e-6)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_SUCCESS",
        "_manifest.json",
        *(f"part-{number:05d}.parquet" for number in range(len(found.manifest["parts"]))),
    ]
    assert found.manifest["rows"] == ROWS
    assert found.manifest["errors"] == {"InputError": 6}
    assert found.manifest["fingerprint"] == model.fingerprint


def test_rows_are_written_while_later_ones_are_answered(dense: str, tmp_path: Path) -> None:
    rows = 2 * 2048
    table = pa.table({"body": [f"row {number % 13}" for number in range(rows)], "more": [os.urandom(2100)] * rows})
    pq.write_table(table, tmp_path / "in.parquet")
    run(asked(dense, str(tmp_path / "in.parquet"), tmp_path / "out", sizes=Sizes(rows)))
    made = pq.ParquetFile(tmp_path / "out" / "part-00000.parquet")
    assert [made.metadata.row_group(at).num_rows for at in range(made.num_row_groups)] == [2048, 2048]
    about = made.metadata.row_group(0).to_dict()["columns"]
    has_dictionary = {column["path_in_schema"]: column["has_dictionary_page"] for column in about}
    assert has_dictionary == {
        "body": True,
        "more": True,
        "embedding.list.element": False,
        "error.kind": True,
        "error.message": True,
    }


@pytest.mark.usefixtures("only_new_objects")
def test_a_part_that_cannot_be_written_leaves_no_traceback(
    dense: str, parquet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unraised: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", unraised.append)

    def tell(_: Any) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match=r"part-00000\.parquet: No space left on device"):
        run(asked(dense, parquet, tmp_path / "out"), tell=tell)
    gc.collect()
    assert not unraised
    (tmp_path / "file").write_text("mine")
    for output in ("file", "file/out"):
        with pytest.raises(UsageError, match="a file is in its way; the output is a folder"):
            run(asked(dense, parquet, tmp_path / output))


def test_json_lines_in_and_their_faults(dense: str, table: Any, tmp_path: Path) -> None:
    lines = [json.dumps(row) for row in table.to_pylist()]
    lines[3:3] = ["{bad", "[1]", json.dumps({"id": "seven", "body": "x"}), "", json.dumps({"id": 1.5, "body": 3})]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    run(asked(dense, str(tmp_path / "in.jsonl"), tmp_path / "out"))
    rows = read(tmp_path / "out")
    assert rows.num_rows == ROWS + 4  # an empty line is no row
    faults = [error["message"] for error in rows.column("error").to_pylist()[3:7]]
    for said, wanted in zip(faults, ["not JSON", "not a JSON object", "'seven' is not int64", "'id'"], strict=True):
        assert wanted in said
    kept = pa.concat_tables([rows.slice(0, 3), rows.slice(7)]).select(["id", "body"])
    assert kept.equals(table)
    assert rows.column("embedding").to_pylist()[0] is not None


def of_parquet(path: Path, table: Any) -> None:
    pq.write_table(table, path, row_group_size=150)


def of_stream(path: Path, table: Any) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=30)


def of_lines(path: Path, table: Any) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()))


@pytest.mark.parametrize(
    ("name", "write"), [("in.parquet", of_parquet), ("in.arrows", of_stream), ("in.jsonl.gz", of_lines)]
)
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(
    dense: str, table: Any, tmp_path: Path, name: str, write: Callable[[Path, Any], None]
) -> None:
    quiet, harmed, given = tmp_path / "quiet", tmp_path / "harmed", str(tmp_path / name)
    write(Path(given), table)
    run(asked(dense, given, quiet))
    assert read(quiet).select(table.column_names).equals(table)
    for rows in (1, 150, 350):
        killed_after(rows, asked(dense, given, harmed))
        assert not (harmed / "_SUCCESS").exists()
    assert list(harmed.glob("part-*.parquet"))
    told: list[int] = []
    found = run(asked(dense, given, harmed), tell=lambda each: told.append(each.rows))
    assert found.manifest is not None
    assert told[0] > 300  # the parts that were whole were not answered again
    assert tree_of(harmed) == tree_of(quiet)


def test_a_finished_job_is_not_done_again(dense: str, parquet: str, tmp_path: Path) -> None:
    run(asked(dense, parquet, tmp_path / "out"))
    before = tree_of(tmp_path / "out")
    again = run(asked(dense, parquet, tmp_path / "out"), tell=lambda _: pytest.fail("a row was answered again"))
    assert again.did_nothing
    assert tree_of(tmp_path / "out") == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"keep": ()}, "keep"),
        ({"settings": {"truncate_dim": 4}}, "model_config"),
        ({"limit": 3}, "limit: null, now 3"),
        ({"output_format": "jsonl"}, "output_format"),
    ],
)
def test_another_job_is_refused_unless_asked_to_begin_anew(
    dense: str, parquet: str, tmp_path: Path, more: dict[str, Any], said: str, finished: bool
) -> None:
    stop = threading.Event()
    run(asked(dense, parquet, tmp_path / "out"), stop=stop, tell=lambda _: None if finished else stop.set())
    other = asked(dense, parquet, tmp_path / "out", **more)
    with pytest.raises(UsageError, match=said) as caught:
        run(other)
    assert "--overwrite" in str(caught.value)
    run(other, overwrite=True)
    assert {path.suffix for path in (tmp_path / "out").glob("part-*")} == {f".{other.output_format}"}


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_job_has_the_versions_of_what_its_library_needs(dense: str, tmp_path: Path, library: str) -> None:
    manifest = read_manifest(Path(dense))
    manifest = replace(manifest, deployment=replace(manifest.deployment, library=library))
    versions = asked(dense, "in.parquet", tmp_path).identity(manifest, ())["versions"]
    needed = {"hfspec", "pyarrow", *LIBRARIES[library].packages}
    assert needed <= {*versions}
    assert all(versions[name] == metadata.version(name) for name in needed)


def test_a_changed_input_is_refused(dense: str, parquet: str, table: Any, tmp_path: Path) -> None:
    stop = threading.Event()
    stopped = run(asked(dense, parquet, tmp_path / "out"), stop=stop, tell=lambda _: stop.set())
    assert stopped == Outcome(None, 1, 6)
    pq.write_table(table.slice(1), parquet)
    with pytest.raises(UsageError, match=r"differs in input: .*in\.parquet"):
        run(asked(dense, parquet, tmp_path / "out"))


def test_a_folder_of_something_else_is_left_alone(dense: str, parquet: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty, and no batch wrote it"):
        run(asked(dense, parquet, tmp_path / "out"), overwrite=True)
    assert (tmp_path / "out" / "thesis.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_told(dense: str, parquet: str, tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir(mode=0o555)
    with enforced(), pytest.raises(StorageError, match="theirs/out: Permission denied; choose another --output"):
        run(asked(dense, parquet, tmp_path / "theirs" / "out"))


def test_a_second_run_at_once_is_refused_and_harms_nothing(dense: str, parquet: str, tmp_path: Path) -> None:
    refused: list[str] = []

    def other(_: Any) -> None:
        if not refused:
            with pytest.raises(UsageError) as caught:
                run(asked(dense, parquet, tmp_path / "out"), overwrite=True)
            refused.append(str(caught.value))

    run(asked(dense, parquet, tmp_path / "out"), tell=other)
    assert "another run is at work on it" in refused[0]
    assert read(tmp_path / "out").num_rows == ROWS


def test_a_full_disk_is_told_and_the_job_goes_on(dense: str, parquet: str, tmp_path: Path) -> None:
    quiet, harmed = tmp_path / "quiet", tmp_path / "harmed"
    run(asked(dense, parquet, quiet))
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        with pytest.raises(StorageError, match=r"harmed/part-00000\.parquet: File too large; raise the limit"):
            run(asked(dense, parquet, harmed))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert sorted(tree_of(harmed)) == ["_journal/job.json", "_journal/lock"]
    run(asked(dense, parquet, harmed))
    assert tree_of(harmed) == tree_of(quiet)


def test_standard_input_is_known_again_by_its_bytes(
    dense: str, table: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
    job = asked(dense, "-", tmp_path / "out")
    for text, again in ((lines, False), (lines, True)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert run(job).did_nothing == again
    assert read(tmp_path / "out").column("id").to_pylist() == list(range(ROWS))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines[20:].encode())))
    with pytest.raises(UsageError, match="differs in input: -"):
        run(job)


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_a_plan_counts_and_writes_nothing(dense: str, parquet: str, table: Any, tmp_path: Path, kind: str) -> None:
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    source = parquet if kind == "parquet" else str(tmp_path / "in.jsonl")
    found = plan(asked(dense, source, tmp_path / "out", where="id < 250"), deadline=1e-6)
    assert found.rows == (300 if kind == "parquet" else pytest.approx(ROWS, rel=0.2))  # two row groups
    assert (found.exact, found.files) == (kind == "parquet", 1)
    assert found.columns[-2:] == (
        "embedding: fixed_size_list<item: float>[24]",
        "error: struct<kind: string, message: string>",
    )
    assert found.seconds > 0
    assert found.machines is not None
    assert found.machines > 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("limit", [1, 120, 499, 9000])
def test_a_limit_takes_the_first_rows(dense: str, parquet: str, tmp_path: Path, limit: int) -> None:
    found = run(asked(dense, parquet, tmp_path / "out", limit=limit))
    assert found.manifest is not None
    assert found.manifest["rows"] == min(limit, ROWS)
    assert read(tmp_path / "out").column("id").to_pylist() == list(range(min(limit, ROWS)))


class Backwards(Local):
    """An engine whose work travels, and whose parts are whole in another order than they were handed out in."""

    def __init__(self, work: Work) -> None:
        super().__init__(pickle.loads(pickle.dumps(work.shared())))

    def make(self, handed: Iterator[Handed], count: int, tell: Callable[[Seen], None]) -> Iterator[Made]:
        yield from super().make(iter(list(handed)[::-1]), count, tell)


@pytest.mark.parametrize("more", [{"limit": 120}, {"limit": 9000}, {"limit": 30, "where": "id > 99"}, {"sample": 0.3}])
def test_an_engine_may_make_the_parts_in_any_order(
    dense: str, parquet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: dict[str, Any]
) -> None:
    run(asked(dense, parquet, tmp_path / "local", **more))
    monkeypatch.setattr("hfspec.batch.run.row_of", lambda _: Row(f"{__name__}:Backwards"))
    run(asked(dense, parquet, tmp_path / "backwards", **more))
    assert tree_of(tmp_path / "backwards") == tree_of(tmp_path / "local")


def test_an_engine_elsewhere_reads_no_standard_input_and_is_installed(
    dense: str, parquet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "hfspec.batch.engines.ray", raising=False)
    with pytest.raises(UsageError, match=r"--engine ray needs more packages \(ray\): pip install 'hfspec\[ray\]'"):
        run(asked(dense, parquet, tmp_path / "out", engine="ray"))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b'{"body": "x"}')))
    monkeypatch.setattr("hfspec.batch.run.row_of", lambda _: Row(f"{__name__}:Backwards"))
    with pytest.raises(UsageError, match="- is standard input, which is read by this machine alone"):
        run(asked(dense, "-", tmp_path / "out"))
    assert not list(tmp_path.glob("out/part-*"))


@pytest.mark.parametrize(("most", "fails"), [("5", True), ("6", False), ("0.5%", True), ("50%", False)])
def test_too_many_errors_end_the_job(dense: str, parquet: str, tmp_path: Path, most: str, fails: bool) -> None:
    job = asked(dense, parquet, tmp_path / "out", max_errors=max_errors(most))
    if not fails:
        assert run(job).manifest is not None
        return
    with pytest.raises(ErrorLimitError, match=f"more than --max-errors {most}"):
        run(job)
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert run(asked(dense, parquet, tmp_path / "out")).manifest is not None  # a higher limit goes on


def test_the_command_and_sigterm(dense: str, parquet: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hfspec", "batch", dense, parquet, "-o", str(tmp_path / "out")]
    command += ["--map", "text=body", "--part-rows", "20", "--progress", "json", "--keep", "id"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 120
        while not list((tmp_path / "out").glob("part-*.parquet")) and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=120)[1]
    finally:
        process.kill()
    assert process.returncode in {143, 0}  # 0: it was done before the signal came
    if process.returncode == 143:
        assert "The same command goes on from there" in said
        assert not (tmp_path / "out" / "_SUCCESS").exists()
    result = CliRunner().invoke(app, command[3:])
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "out").column("id").to_pylist() == list(range(ROWS))
    assert read(tmp_path / "out").schema.names == ["id", "embedding", "error"]


def test_names_with_commas_and_spaces(dense: str, tmp_path: Path) -> None:
    pq.write_table(pa.table({"名, x": ["a"], "id": [1], " n": [2], "more": [3]}), tmp_path / "in.parquet")
    command = ["batch", dense, str(tmp_path / "in.parquet"), "--map", '"text=名, x"']
    result = CliRunner().invoke(app, [*command, "--keep", '"名, x", id," n"', "-o", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    assert read(tmp_path / "out").schema.names == ["名, x", "id", " n", "embedding", "error"]
    result = CliRunner().invoke(app, [*command, "--keep", "n,m", "-o", str(tmp_path / "no")])
    assert 'has no column n, m; it has "名, x", id, " n", more' in str(result.exception)


def test_a_column_that_the_format_has_no_form_for_is_told_before_a_row(dense: str, tmp_path: Path) -> None:
    table = pa.table({"body": ["a"], "wait": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with ipc.new_file(tmp_path / "in.arrow", table.schema) as writer:
        writer.write_table(table)
    job = asked(dense, str(tmp_path / "in.arrow"), tmp_path / "out")
    with pytest.raises(UsageError, match="--format parquet: the column wait is month_day_nano_interval, for which it"):
        run(job)
    assert not list((tmp_path / "out").glob("part-*"))
    assert run(replace(job, output_format="arrow", output=str(tmp_path / "arrow"))).manifest is not None


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--map", "text"], "expected an input and its column"),
        (["--map", "text=body,text=id"], "each input once"),
        (["--map", "text=id"], "the column id is int64"),
        (["--keep", "ids"], "no column ids; it has id, body"),
        (["--params", "[1]"], "expected a JSON object"),
        (["--params", "{"], "this is not JSON"),
        (["--sample", "0"], "--sample 0"),
        (["--max-errors", "few"], "--max-errors few"),
        (["--where", "id >"], "ends too early"),
        (["--where", "id ~ 3"], "cannot be read"),
        (["--input-format", "parket"], "parket"),
        (["nowhere.parquet"], "nowhere.parquet does not exist"),
        ([os.devnull], "neither a file nor a folder"),
    ],
)
def test_a_wrong_call_is_told_and_writes_nothing(
    dense: str, parquet: str, tmp_path: Path, more: list[str], said: str
) -> None:
    named = [] if "--map" in more else ["--map", "text=body"]
    result = CliRunner().invoke(app, ["batch", dense, parquet, *more, *named, "-o", str(tmp_path / "out")])
    assert isinstance(result.exception, UsageError), result.output
    assert said in str(result.exception)
    assert not list((tmp_path / "out").glob("part-*"))
