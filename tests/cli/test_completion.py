"""What the shells show when Tab is pressed, asked as they ask: by environment variables."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hfspec.cli.app import app
from hfspec.language.schema import tasks
from hfspec.tasks import table

Complete = Callable[..., list[str]]
SPEC = """spec_version: 1
library: sentence-transformers
task: feature-extraction
model: {path: ./somewhere}
"""
FLEET = """models:
  small: {artifact: build/small}
  large: {artifact: build/large}
"""


@pytest.fixture
def complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Complete:
    """``complete(*words)``: what bash is told of the last word, in a folder with a spec and a fleet file."""
    monkeypatch.chdir(tmp_path)
    Path("spec.yaml").write_text(SPEC)
    Path("fleet.yaml").write_text(FLEET)
    Path("broken.yaml").write_text("task: [")

    def ask(*words: str) -> list[str]:
        monkeypatch.setenv("COMP_WORDS", " ".join(["hfspec", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        monkeypatch.setenv("_HFSPEC_COMPLETE", "complete_bash")
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            app([], prog_name="hfspec")
        said = capsys.readouterr()
        assert (left.value.code, said.err) == (0, "")
        return said.out.split()

    return ask


DTYPES = ["auto", "float32", "float16", "bfloat16", "float64"]
FOUND = {
    "commands": (["sche"], ["schema"]),
    "options": (["compile", "spec.yaml", "--lock"], ["--locked"]),
    "a task": (["init", "sentence"], ["sentence-embedding", "sentence-similarity"]),
    "a task with slashes": (["init", "--task", "llm/v1/c"], ["llm/v1/chat", "llm/v1/completions"]),
    "a library": (["init", "--library", "s"], ["sentence-transformers"]),
    "a key": (["plan", "spec.yaml", "save"], ["save_mode=full", "save_mode=reference"]),
    "a level": (["plan", "spec.yaml", "model"], ["model.", "model_config."]),
    "keys below": (["compile", "spec.yaml", "model.re"], ["model.repo=", "model.revision="]),
    "the task's settings": (["lock", "spec.yaml", "model_config.pr"],
                            [f"model_config.{name}=" for name in ("precision", "prompt", "prompt_name")]),
    "callers' settings": (["plan", "spec.yaml", "signature.params.tr"], ["signature.params.truncate_dim="]),
    "choices of a setting": (["plan", "spec.yaml", "model_config.precision", "=", "in"], ["int8"]),
    "choices": (["plan", "spec.yaml", "dtype", "="], DTYPES),
    "choices of a word that begins": (["plan", "spec.yaml", "dtype", "=", "b"], ["bfloat16"]),
    "the tasks of the library": (["plan", "spec.yaml", "task", "=", "sentence-s"], ["sentence-similarity"]),
    "true and false": (["plan", "spec.yaml", "model_config.normalize_embeddings", "=", "t"], ["true"]),
    "Hydra's marks": (["plan", "spec.yaml", "++dtype=f"], [f"++dtype=float{bits}" for bits in (32, 16, 64)]),
    "a key to delete": (["plan", "spec.yaml", "~out"], ["~outputs"]),
    "a second override": (["plan", "spec.yaml", "dtype=auto", "save"], ["save_mode=full", "save_mode=reference"]),
    "validate": (["validate", "spec.yaml", "max_s"], ["max_shard_size="]),
    "diff": (["diff", "spec.yaml", "dtype=b"], ["dtype=bfloat16"]),
    "names in a fleet file": (["validate", "fleet.yaml", "models."], ["models.large.", "models.small."]),
    "serve": (["serve", "fleet.yaml", "server.po"], ["server.port="]),
}  # fmt: skip
NOTHING = {
    "a file comes first": ["plan", ""],
    "a second file may come": ["diff", "spec.yaml", ""],
    "a key that there is not": ["plan", "spec.yaml", "dtypo"],
    "a setting of another task": ["plan", "spec.yaml", "model_config.max_new"],
    "a value that there is not": ["plan", "spec.yaml", "dtype", "=", "int"],
    "a value that can be anything": ["plan", "spec.yaml", "name", "="],
    "a task of another library": ["plan", "spec.yaml", "task", "=", "text-c"],
    "no spec": ["plan", "nowhere.yaml", "dtype=int"],
}


@pytest.mark.parametrize("case", FOUND)
def test_what_may_follow(case: str, complete: Complete) -> None:
    words, expected = FOUND[case]
    assert complete(*words) == expected


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_may_follow(case: str, complete: Complete) -> None:
    """The shell completes files then."""
    assert complete(*NOTHING[case]) == []


def test_every_task_and_every_setting_of_it_is_known(complete: Complete) -> None:
    assert {name for _, name in table.TASKS} <= set(complete("init", ""))
    for library in ("transformers", "sentence-transformers"):
        for task in tasks(library):
            Path("spec.yaml").write_text(SPEC.replace("sentence-transformers", library).replace(
                "feature-extraction", task.name))  # fmt: skip
            shown = {text.partition("=")[0] for text in complete("plan", "spec.yaml", "model_config.")}
            assert shown == {f"model_config.{setting.name}" for setting in task.settings}


def test_a_spec_that_is_wrong_has_every_setting(complete: Complete) -> None:
    assert "model_config.max_new_tokens=" in complete("plan", "broken.yaml", "model_config.max_new")


def test_zsh_gets_the_whole_word(complete: Complete, monkeypatch, capsys) -> None:
    monkeypatch.setenv("_HFSPEC_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", "hfspec plan spec.yaml dtype=b")
    with pytest.raises(SystemExit):
        app([], prog_name="hfspec")
    assert '"dtype=bfloat16"' in capsys.readouterr().out


def test_bash_runs_the_script_that_it_is_given(tmp_path: Path) -> None:
    """The command's own script, sourced; the words are parted as readline parts them."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "hfspec").write_text(f"#!{sys.executable}\nfrom hfspec.__main__ import command\n\ncommand()\n")
    (tmp_path / "hfspec").chmod(0o755)
    script = """eval "$(hfspec --show-completion bash)"
COMP_WORDS=(hfspec plan spec.yaml dtype = b) COMP_CWORD=5
_hfspec_completion hfspec
printf '%s\n' "${COMPREPLY[@]}"
"""
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
                   "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}  # fmt: skip
    done = subprocess.run(["bash", "--norc", "-c", script], cwd=tmp_path, env=environment, text=True,
                          capture_output=True, timeout=120, check=False)  # fmt: skip
    assert (done.stdout, done.stderr) == ("bfloat16\n", "")
