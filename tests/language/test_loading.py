"""The two routes into a tree, the files that are specs, and what is imported on the way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from hfspec.errors import SpecError, UsageError
from hfspec.ir.problem import Problem
from hfspec.language.composition import compose
from hfspec.language.discovery import search_root, spec_files
from hfspec.language.yaml12 import MAX_BYTES, read_yaml
from hfspec.stages.load import load
from hfspec.stages.validate import problems, validate
from hfspec.tasks import table
from tests.language.documents import mutated

ROOT = Path(__file__).parents[2]


@settings(max_examples=200, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(mutated())
def test_a_spec_that_needs_no_hydra_is_the_same_through_hydra(
    tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any]
) -> None:
    file = tmp_path_factory.getbasetemp() / "plain.yaml"
    file.write_text(json.dumps(document, indent=1), encoding="utf-8")
    assert outcome(lambda: load(file)) == outcome(lambda: compose(file).tree())


def outcome(read: Callable[[], Any]) -> Any:
    """The tree, or the problems that stand in its place."""
    try:
        return read()
    except SpecError as error:
        return error.problems


@pytest.mark.parametrize("file", spec_files([ROOT / "specs"]), ids=lambda file: file.stem)
def test_the_specs_in_the_tree_are_good(file: Path) -> None:
    assert problems(load(file)) == ()
    spec = validate(load(file))
    first = file.read_text(encoding="utf-8").splitlines()[0]
    assert first == "# yaml-language-server: $schema=../schemas/spec.schema.json"
    assert spec.spec_version == 1


def test_two_specs_extend_one_base() -> None:
    extending = [file for file in spec_files([ROOT / "specs"]) if "/_base/text-classification" in file.read_text()]
    assert len(extending) >= 2
    for file in extending:
        assert load(file).origin(("task",)).file.endswith("text-classification.yaml")


def test_importing_what_validate_needs_imports_no_heavy_library() -> None:
    code = (
        "import sys; from pathlib import Path; from hfspec.stages.load import load;"
        "from hfspec.stages.validate import problems; from hfspec.language.discovery import spec_files;"
        f"[problems(load(file)) for file in spec_files([Path({str(ROOT / 'specs')!r})])];"
        "print(sorted({'torch', 'transformers', 'huggingface_hub', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_spec_that_needs_no_hydra_imports_none(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("spec_version: 1\n", encoding="utf-8")
    code = (
        "import sys; from pathlib import Path; from hfspec.stages.load import load;"
        "from hfspec.stages.validate import problems; problems(load(Path('a.yaml')));"
        "print(sorted({'hydra', 'omegaconf', 'antlr4'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.strip() == "[]"


def test_parts_and_hidden_files_are_no_specs(tmp_path: Path) -> None:
    for name in (
        "b.yaml",
        "a.yml",
        "sub/c.yaml",
        "_part.yaml",
        "_base/d.yaml",
        "sub/_x/e.yaml",
        ".git/f.yaml",
        "g.txt",
    ):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("", encoding="utf-8")
    found = spec_files([tmp_path, tmp_path / "b.yaml", tmp_path / "_part.yaml"])
    assert [str(file.relative_to(tmp_path)) for file in found] == ["a.yml", "b.yaml", "sub/c.yaml", "_part.yaml"]
    with pytest.raises(UsageError, match="holds no spec"):
        spec_files([empty(tmp_path)])
    with pytest.raises(UsageError, match="does not exist"):
        spec_files([tmp_path / "nope.yaml"])


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def test_the_search_root_is_the_nearest_folder_named_specs(tmp_path: Path) -> None:
    assert search_root(tmp_path / "specs" / "a" / "b.yaml") == tmp_path / "specs"
    assert search_root(tmp_path / "specs" / "a" / "specs" / "b.yaml") == tmp_path / "specs" / "a" / "specs"
    assert search_root(tmp_path / "a" / "b.yaml") == tmp_path / "a"


def task_problem(folder: Path, library: str, task: str) -> Problem:
    """The only problem of a spec that names this task."""
    file = folder / "a.yaml"
    text = f"spec_version: 1\nlibrary: {library}\ntask: {task}\nmodel: {{path: x}}\nmodel_config: {{anything: 1}}\n"
    file.write_text(text, encoding="utf-8")
    (problem,) = problems(load(file))
    assert (problem.path, problem.origin.line, problem.found) == (("task",), 3, task)
    return problem


def test_an_unknown_task_is_one_problem_with_the_nearest_name(tmp_path: Path) -> None:
    problem = task_problem(tmp_path, "transformers", "text-clasification")
    assert (problem.code, problem.nearest) == ("unknown-task", "text-classification")
    assert problem.expected == "one of " + ", ".join(table.names("transformers"))


def test_a_task_of_the_other_library_is_said_to_be_that(tmp_path: Path) -> None:
    problem = task_problem(tmp_path, "sentence-transformers", "text-classification")
    assert (problem.code, problem.remedy) == ("unknown-task", "It is a task of the library transformers.")


@pytest.mark.parametrize("name", ["absent.yaml", "folder"])
def test_a_file_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match=f"{name} (cannot be read|is a folder)"):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("+5", 5),
        ("-0", 0),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("0b1", "0b1"),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("yes", "yes"),
        ("on", "on"),
        ("NO", "NO"),
        ("True", True),
        ("tRUE", "tRUE"),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("=", "="),
        ("'1'", "1"),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    document = read_yaml(f"a: {text}\n".encode(), "f.yaml")
    assert document.value["a"] == value
    assert type(document.value["a"]) is type(value)


def test_sizes_beyond_the_limits_are_refused() -> None:
    for data, code in [
        (b"#" * (MAX_BYTES + 1), "too-large"),
        (b"a: " + b"x" * 70_000, "too-large"),
        (b"- " * 100, "too-deep"),
    ]:
        with pytest.raises(SpecError) as caught:
            read_yaml(data, "f.yaml")
        assert [problem.code for problem in caught.value.problems] == [code]
    assert [problem.code for problem in read_yaml(b"a: " + b"9" * 70, "f.yaml").problems] == ["integer-size"]


def test_artifacts_below_a_folder_are_no_specs(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").touch()
    (tmp_path / "build" / "one").mkdir(parents=True)
    for name in ("artifact.json", "conda.yaml"):
        (tmp_path / "build" / "one" / name).touch()
    assert spec_files([tmp_path]) == [tmp_path / "spec.yaml"]


def test_overrides_given_as_one_text(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"write \['dtype=float32'\]"):
        load(tmp_path / "spec.yaml", "dtype=float32")
