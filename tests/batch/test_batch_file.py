"""The batch file: the job it makes, and every problem of one that is wrong, each with its place."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

import hfspec
from hfspec.batch.document.comparison import batch_diff
from hfspec.batch.document.loading import is_batch, load_batch, problems
from hfspec.batch.document.schema import batch_schema, schema_text
from hfspec.cli.app import app
from hfspec.ir.artifact import Artifact

GOOD = """\
artifact: {artifact}
input:
  paths: [data/*.parquet, s3://bucket/more]
  map: {{text: body}}
  where: n > 3 and lang = 'en'
  sample: 1%
output: {{path: out, format: jsonl, keep: [id], part_rows: 7}}
model_config: {{batch_tokens: 512}}
outputs: full
max_errors: 2.5%
"""


@pytest.fixture
def file(tmp_path: Path, compiled: Callable[[str], Artifact]) -> Path:
    made = tmp_path / "batch.yaml"
    made.write_text(GOOD.format(artifact=compiled("st-dense").path), encoding="utf-8")
    return made


def test_the_job_in_a_file(file: Path) -> None:
    job = load_batch(file, ["input.limit=5", "output.path=elsewhere"])
    assert job.inputs == (str(file.parent / "data/*.parquet"), "s3://bucket/more")
    assert (job.output, job.output_format, job.keep) == ("elsewhere", "jsonl", ("id",))
    assert (dict(job.columns), job.where, job.limit, job.sample) == ({"text": "body"}, "n > 3 and lang = 'en'", 5, 0.01)
    assert (job.outputs, dict(job.settings), job.sizes.rows) == ("full", {"batch_tokens": 512}, 7)
    assert job.max_errors is not None
    assert job.max_errors.share == 0.025
    assert is_batch(file)


def test_it_is_validated_with_specs_and_is_of_its_schema(file: Path) -> None:
    result = CliRunner().invoke(app, ["validate", str(file)])
    assert (result.exit_code, "1 batch file is good" in result.output) == (0, True), result.output
    jsonschema.validate(yaml.safe_load(file.read_text()), batch_schema())
    assert json.loads(schema_text()) == json.loads(Path("schemas/batch.schema.json").read_text(encoding="utf-8"))
    assert "is a batch file, not a spec" in str(hfspec.validate(file)[0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("output: {path: out, format: jsonl", "output: {paht: out, format: jsonl"), "paht"),
        (("format: jsonl", "format: xlsx"), "xlsx"),
        (("sample: 1%", "sample: a bit"), "a bit"),
        (("max_errors: 2.5%", "max_errors: -1"), "max_errors"),
        (("n > 3 and", "n > and"), "The condition cannot be read"),
        (("map: {text: body}", "map: {text: 3}"), "named by a text"),
        (("outputs: full", "outputs: fuller"), "fuller"),
        (("part_rows: 7", "part_rows: 0"), "part_rows"),
        (("artifact: ", "artifact: nowhere # "), "nowhere"),
        (("paths: [data/*.parquet, s3://bucket/more]", "paths: []"), "paths"),
        (("outputs: full", "engine: dask"), "dask"),
        (("outputs: full", "replicas: 2"), "The key replicas is for a cluster, and the engine is local."),
        (("outputs: full", "engine: local\ngpus: 1"), "Write `engine: ray`, or remove `gpus`."),
        (("outputs: full", "engine: ray\nreplicas: 2\nautoscaling: {max_replicas: 3}"), "and bounds for it"),
        (("outputs: full", "engine: ray\nautoscaling: {min_replicas: 3, max_replicas: 2}"), "at most 2"),
        (("outputs: full", "engine: ray\nautoscaling: {min_replicas: 3}"), "max_replicas"),
        (("outputs: full", "engine: ray\ngpus: 1.5"), "a part of one GPU, or whole ones"),
        (("outputs: full", "engine: ray\ngpus: 1\ndevice: cpu"), "is to have 1 GPUs, and to run on cpu"),
        (("outputs: full", "threads: 0"), "threads"),
    ],
)
def test_what_is_wrong_has_its_place(file: Path, change: tuple[str, str], said: str) -> None:
    file.write_text(file.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    found = problems(file)
    assert found
    assert any(said in str(problem) for problem in found), [str(problem) for problem in found]
    assert all(problem.origin.line for problem in found)


def test_an_engine_and_what_it_may_have(file: Path) -> None:
    job = load_batch(file, ["engine=ray", "address=auto", "autoscaling={max_replicas: 8}", "gpus=0.5", "threads=2"])
    assert (job.engine, job.address, job.autoscaling, job.gpus, job.threads) == ("ray", "auto", (1, 8), 0.5, 2)
    assert load_batch(file).engine == "local"
    result = CliRunner().invoke(app, ["batch", str(file), "--replicas", "2"])
    assert "replicas is for a cluster" in str(result.exception)


def test_overrides_and_options(file: Path) -> None:
    assert problems(file, ["output.keeps=[a]"])
    assert problems(file, ["nothing=1"])
    for more in (["data.csv"], ["--map", "text=x"]):
        result = CliRunner().invoke(app, ["batch", str(file), *more])
        assert isinstance(result.exception, hfspec.UsageError)


def changes(*sides: object) -> list[tuple[str, str, object, object]]:
    given = [side if side is None or isinstance(side, list) else str(side) for side in sides]
    return [(each.group, each.key, each.before, each.after) for each in batch_diff(*given)]


def test_diff_is_by_meaning(file: Path, compiled: Callable[[str], Artifact], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    same = file.parent / "sub" / "other.yaml"
    same.parent.mkdir()
    text = GOOD.format(artifact=compiled("st-dense").path)
    for change in (
        ("data/", "../data/"),
        ("path: out", "path: ../out"),
        ("lang = 'en'", "(lang == 'en')"),
        ("sample: 1%", "sample: '0.010'"),
        ("2.5%", "2.50%"),
        ("part_rows: 7", "part_rows: 7, part_bytes: 16777216"),
    ):
        assert change[0] in text
        text = text.replace(*change)
    same.write_text(text, encoding="utf-8")
    assert changes(file, same) == []
    same.write_text(text.replace("0.010", "5%").replace("2.50%", "'03'").replace("{text: body}", "{text: title}"))
    assert changes(file, same) == [
        ("input", "map.text", "body", "title"),
        ("input", "sample", 0.01, 0.05),
        ("max_errors", "", "2.5%", "3"),
    ]
    assert changes(file, None, ["output.keep=[id,n]", "artifact=a"]) == [
        ("artifact", "", str(compiled("st-dense").path), "a"),
        ("output", "keep", ("id",), ("id", "n")),
    ]
    with pytest.raises(hfspec.UsageError, match="compare two of a kind"):
        changes(file, Path(__file__).parents[2] / "specs" / "minilm.yaml")


def test_diff_with_a_revision_of_git_and_no_value_of_the_environment(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("BUCKET", "never-shown")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "batch.yaml"], [*identity, "commit", "-qm", "a"]):
        subprocess.run(["git", *command], check=True, timeout=60)
    assert changes("batch.yaml@HEAD", "batch.yaml") == []
    file.write_text(file.read_text().replace("s3://bucket/more", "'s3://${oc.env:BUCKET}/more'"))
    (change,) = changes("batch.yaml@HEAD", "batch.yaml")
    assert change[:2] == ("input", "paths")
    assert change[3] == ("data/*.parquet", "s3://${oc.env:BUCKET}/more")
    result = CliRunner().invoke(app, ["diff", "batch.yaml@HEAD", "batch.yaml"])
    assert (result.exit_code, "never-shown" in result.output) == (1, False), result.output
    file.write_text("artifact: x\ninput: {path: [a]}\noutput: {path: o}\n")
    result = CliRunner().invoke(app, ["diff", "batch.yaml@HEAD", "batch.yaml"])
    assert "input.path" in str(result.exception), result.output
