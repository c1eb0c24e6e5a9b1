"""plan and inspect for a person, and what a command says that is given the other kind of thing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec as library
from tests.cli.conftest import Run

SPEC = "spec_version: 1\nlibrary: transformers\ntask: {task}\nmodel: {{path: {source}}}\n"


@pytest.fixture(scope="session")
def specs(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> dict[str, Path]:
    """Specs by name: two labels, forty labels, and a model without labels."""
    folder = tmp_path_factory.mktemp("reports")
    many = folder / "many"
    many.mkdir()
    for file in checkpoint("bert-sentiment").iterdir():
        (many / file.name).write_bytes(file.read_bytes())
    _widen(many, 40)
    sources = {"few": checkpoint("bert-sentiment"), "many": many, "none": checkpoint("gpt2")}
    made = {}
    for name, source in sources.items():
        made[name] = folder / f"{name}.yaml"
        task = "text-generation" if name == "none" else "text-classification"
        made[name].write_text(SPEC.format(task=task, source=source), encoding="utf-8")
    return made


def _widen(folder: Path, count: int) -> None:
    import torch
    from safetensors.torch import load_file, save_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["id2label"] = {str(number): f"kind {number:02}" for number in range(count)}
    config["label2id"] = {name: int(number) for number, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tensors = load_file(folder / "model.safetensors")
    tensors["classifier.weight"] = torch.zeros(count, tensors["classifier.weight"].shape[1])
    tensors["classifier.bias"] = torch.zeros(count)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="session")
def built(specs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("built")
    return {name: library.compile(file, output=folder / name, run=False).path for name, file in specs.items()}


def labels_in(text: str) -> str | None:
    found = re.search(r"^  labels +(.*)$", text, re.MULTILINE)
    return found.group(1) if found else None


@pytest.mark.parametrize("command", ["plan", "inspect"])
def test_labels_are_shown(
    hfspec: Run, specs: dict[str, Path], built: dict[str, Path], checkpoint: Callable[[str], Path], command: str
) -> None:
    from transformers import AutoConfig

    given = specs if command == "plan" else built
    names = AutoConfig.from_pretrained(checkpoint("bert-sentiment")).id2label
    done = hfspec(command, given["few"])
    assert (done.returncode, labels_in(done.stdout)) == (0, f"{len(names)}: {', '.join(names.values())}")
    first = ", ".join(f"kind {number:02}" for number in range(12))
    assert labels_in(hfspec(command, given["many"]).stdout) == f"40: {first}, and 28 others"
    assert labels_in(hfspec(command, given["none"]).stdout) is None


def test_a_plan_for_a_program_has_every_label(specs: dict[str, Path], hfspec: Run) -> None:
    body = json.loads(hfspec("plan", specs["many"], "--format", "json").stdout)
    assert body["labels"] == [f"kind {number:02}" for number in range(40)]


def test_labels_of_a_damaged_config_are_not_shown(hfspec: Run, built: dict[str, Path], tmp_path: Path) -> None:
    import shutil

    folder = shutil.copytree(built["few"], tmp_path / "copy")
    (folder / "model/config.json").write_text("{}", encoding="utf-8")
    done = hfspec("inspect", folder)
    assert done.returncode == 4
    assert "model/config.json" in done.stderr


def test_the_code_of_the_runtime_is_one_line(hfspec: Run, built: dict[str, Path]) -> None:
    printed = hfspec("inspect", built["few"]).stdout
    assert len(re.findall(r"^  code/", printed, re.MULTILINE)) == 1


@pytest.mark.parametrize(
    "command",
    [["inspect"], ["verify"], ["predict", "a fine film"], ["predict", "--check", "example"], ["persist"]],
    ids=" ".join,
)
def test_a_spec_is_compiled_first(hfspec: Run, specs: dict[str, Path], command: list[str]) -> None:
    name, *others = command
    done = hfspec(name, specs["few"], *others)
    assert done.returncode == 2
    assert "is a spec, not an artifact; compile it first" in done.stderr
    assert f"hfspec compile {specs['few']} -o build/few" in done.stderr
    with pytest.raises(library.UsageError, match="compile it first"):
        library.load(specs["few"])


@pytest.mark.parametrize("command", ["plan", "compile", "lock"])
def test_an_artifact_is_no_spec(hfspec: Run, built: dict[str, Path], command: str) -> None:
    done = hfspec(command, built["few"])
    assert done.returncode == 2
    assert f"{built['few']} is an artifact, not a spec" in done.stderr
    assert f"hfspec inspect {built['few']}" in done.stderr


def test_the_manifest_alone_is_no_artifact(hfspec: Run, built: dict[str, Path]) -> None:
    done = hfspec("inspect", built["few"] / "artifact.json")
    assert done.returncode == 2
    assert f"name its folder, {built['few']}." in done.stderr


@pytest.mark.parametrize("other", ["model/config.json", "nothing", "README.md"])
def test_anything_else_is_no_artifact_as_before(hfspec: Run, built: dict[str, Path], other: str) -> None:
    done = hfspec("inspect", built["few"] / other)
    assert done.returncode == 4
    assert "is not an artifact" in done.stderr


@pytest.mark.parametrize(
    ("written", "names"),
    [
        ("task: text-classification", ["task: nonsense"]),
        ("library: transformers", ["library: nonsense"]),
        ("model:", ["modle: 1", "model:"]),
    ],
)
def test_names_that_are_expected_appear_once_and_sorted(
    specs: dict[str, Path], tmp_path: Path, written: str, names: list[str]
) -> None:
    text = specs["few"].read_text(encoding="utf-8").replace(written, "\n".join(names))
    file = tmp_path / "wrong.yaml"
    file.write_text(text, encoding="utf-8")
    listed = [problem.expected for problem in library.validate(file) if problem.expected.startswith("one of ")]
    assert listed
    for expected in listed:
        known = expected.removeprefix("one of ").split(", ")
        assert known == sorted(set(known))
