"""hfspec init: the task is inferred from the checkpoint, and the spec validates and plans."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import hfspec
from hfspec.cli import init_command
from hfspec.cli.app import app
from tests.checkpoints.adapters import make_adapter

Command = Callable[..., tuple[str, str]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[str, str]:
        capsys.readouterr()
        app(["init", *map(str, arguments)], standalone_mode=False)
        said = capsys.readouterr()
        return said.out, said.err

    return run


CHECKPOINTS = [
    ("bert-sentiment", "transformers", "text-classification", "BertForSequenceClassification"),
    ("gpt2", "transformers", "text-generation", "GPT2LMHeadModel"),
    ("llama-chat", "transformers", "llm/v1/chat", "chat template"),
    ("st-dense", "sentence-transformers", "feature-extraction", "SentenceTransformer"),
    ("splade", "sentence-transformers", "sparse-embedding", "SparseEncoder"),
    ("ce-msmarco", "sentence-transformers", "text-ranking", "cross-encoder"),
    ("whisper", "transformers", "automatic-speech-recognition", "Whisper"),
    ("wav2vec2-ctc", "transformers", "automatic-speech-recognition", "ForCTC"),
]


@pytest.mark.parametrize(("name", "library", "task", "reason"), CHECKPOINTS, ids=[row[0] for row in CHECKPOINTS])
def test_the_task_is_inferred_and_the_reason_said(name, library, task, reason, command, checkpoint, tmp_path) -> None:
    out, err = command("--from", checkpoint(name), "-o", "specs/new.yaml")
    assert out == "specs/new.yaml\n"
    assert reason in err
    spec = hfspec.load_spec("specs/new.yaml")
    assert (spec.library, spec.task) == (library, task)
    assert f"# The task, because {err.strip().partition(': ')[2]}." in Path("specs/new.yaml").read_text()
    assert hfspec.validate("specs/new.yaml") == ()
    assert hfspec.plan("specs/new.yaml").deployment.task == task


def test_a_folder_of_the_trainer(command, checkpoint, tmp_path) -> None:
    """Its own files count where it has them, else the best checkpoint, else the last one."""
    output = tmp_path / "output"
    for step in (2, 10, 9):
        shutil.copytree(checkpoint("bert-sentiment"), output / f"checkpoint-{step}")
        for name in ("optimizer.pt", "scheduler.pt", "training_args.bin"):
            (output / f"checkpoint-{step}" / name).write_bytes(b"x")
    said = command("--from", output, "-o", "last.yaml")
    text = Path("last.yaml").read_text()
    assert "checkpoint-10 is the last one" in text.lower()
    assert "optimizer.pt" in text
    assert said[0] == "last.yaml\n"
    assert hfspec.load_spec("last.yaml").model.path == "./output/checkpoint-10"
    state = {"best_model_checkpoint": "/elsewhere/output/checkpoint-2"}
    (output / "checkpoint-10" / "trainer_state.json").write_text(json.dumps(state))
    command("--from", output, "-o", "best.yaml")
    assert hfspec.load_spec("best.yaml").model.path == "./output/checkpoint-2"
    shutil.copytree(checkpoint("bert-sentiment"), output, dirs_exist_ok=True)
    command("--from", output, "-o", "own.yaml")
    assert hfspec.load_spec("own.yaml").model.path == "./output"
    assert {
        step.target.split("/")[1] for step in hfspec.plan("own.yaml").steps if "checkpoint-" in step.target
    } == set()


def test_a_trainer_that_had_no_tokenizer(command, own_copy) -> None:
    """The spec says so, where plan refuses it."""
    folder = own_copy("bert-sentiment")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()
    _, err = command("--from", folder)
    assert "components.tokenizer" in err
    assert "# It has no tokenizer" in Path("spec.yaml").read_text()
    assert hfspec.validate("spec.yaml") == ()
    with pytest.raises(hfspec.SpecError, match="no tokenizer"):
        hfspec.plan("spec.yaml")


def test_an_adapter_of_a_sentence_transformer(command, checkpoint, tmp_path) -> None:
    """As sentence-transformers itself saves it: its modules beside the adapter, whose config states no task."""
    from peft import LoraConfig
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu")
    model.add_adapter(LoraConfig(target_modules=["query", "value"]))
    model.save_pretrained("adapter")
    command("--from", "adapter")
    spec = hfspec.load_spec("spec.yaml")
    assert (spec.library, spec.task) == ("sentence-transformers", "feature-extraction")
    assert (spec.adapter.path, (tmp_path / spec.model.path).resolve()) == ("./adapter", checkpoint("minilm-like"))
    assert hfspec.plan("spec.yaml")
    assert "\n# adapter_config.json names " in Path("spec.yaml").read_text()


def test_an_adapter_brings_its_base(command, checkpoint, tmp_path) -> None:
    base = checkpoint("bert-sentiment")
    adapter = make_adapter("sentiment-lora", base, tmp_path / "adapter")
    config = json.loads((adapter / "adapter_config.json").read_text())
    command("--from", adapter, "-o", "local.yaml")
    spec = hfspec.load_spec("local.yaml")
    assert (spec.task, spec.adapter.path) == ("text-classification", "./adapter")
    assert (tmp_path / spec.model.path).resolve() == base.resolve()
    assert hfspec.plan("local.yaml")
    (adapter / "adapter_config.json").write_text(json.dumps({**config, "base_model_name_or_path": "org/base"}))
    command("--from", adapter, "-o", "remote.yaml")
    assert hfspec.load_spec("remote.yaml").model.repo == "org/base"


def test_a_repository_is_pinned_to_its_commit(command, hub) -> None:
    _, err = command("--from", "distilbert/distilbert-base-uncased-finetuned-sst-2-english")
    spec = hfspec.load_spec("spec.yaml")
    assert spec.task == "text-classification"
    assert len(spec.model.revision) == 40
    assert "ForSequenceClassification" in err
    assert hfspec.remarks("spec.yaml") == ()
    assert hfspec.plan("spec.yaml")
    with pytest.raises(hfspec.SourceError):
        command("--from", "nobody/nothing", "-o", "other.yaml")
    assert not Path("other.yaml").exists()


def test_a_folder_that_mlflow_logged(command, checkpoint, tmp_path) -> None:
    logged = tmp_path / "logged"
    shutil.copytree(checkpoint("bert-sentiment"), logged / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (logged / "components" / "tokenizer").mkdir(parents=True, exist_ok=True)
        (logged / "model" / name).rename(logged / "components" / "tokenizer" / name)
    flavors = {"transformers": {"model_binary": "model", "task": "text-classification"}}
    (logged / "MLmodel").write_text(json.dumps({"flavors": flavors}))
    command("--from", logged)
    spec = hfspec.load_spec("spec.yaml")
    assert (spec.task, spec.model.path) == ("text-classification", "./logged/model")
    assert hfspec.plan("spec.yaml")
    (logged / "MLmodel").write_text(json.dumps({"flavors": {"sklearn": {}}}))
    with pytest.raises(hfspec.UsageError, match="logged it with sklearn"):
        command("--from", logged, "-o", "other.yaml")


def test_a_task_that_is_given_is_taken(command, checkpoint) -> None:
    command("llm/v1/completions", "--from", checkpoint("gpt2"), "-o", "a.yaml")
    assert hfspec.load_spec("a.yaml").task == "llm/v1/completions"
    assert hfspec.plan("a.yaml")
    command("sentence-similarity", "--from", checkpoint("st-dense"), "-o", "b.yaml")
    assert hfspec.load_spec("b.yaml").library == "sentence-transformers"
    command("text-ranking", "--model", "org/reranker", "-o", "c.yaml")
    assert hfspec.load_spec("c.yaml").library == "sentence-transformers"


def test_questions_on_a_terminal_have_defaults(command, checkpoint, monkeypatch) -> None:
    answers = iter([str(checkpoint("gpt2")), "asked.yaml"])
    asked = []
    monkeypatch.setattr(init_command, "_asks", lambda *given: not any(given))
    monkeypatch.setattr("typer.prompt", lambda text, default, err: asked.append((text, default)) or next(answers))
    assert command()[0] == "asked.yaml\n"
    assert [default for _, default in asked] == [init_command.EXAMPLE, "spec.yaml"]
    assert hfspec.load_spec("asked.yaml").task == "text-generation"


def test_it_never_overwrites(command, checkpoint) -> None:
    Path("spec.yaml").write_text("mine")
    with pytest.raises(hfspec.UsageError, match="exists"):
        command("--from", checkpoint("gpt2"))
    assert Path("spec.yaml").read_text() == "mine"


def test_checkpoints_that_say_too_little_and_folders_that_are_none(command, tmp_path, checkpoint) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    (tmp_path / "artifact").mkdir()
    (tmp_path / "artifact" / "artifact.json").write_text("{}")
    refused = {
        "./empty": "holds no checkpoint",
        "./bare": "names no architecture, so that its task is not known",
        "./artifact": "is an artifact of hfspec",
        "./nowhere": "is not a folder",
        "./bare/config.json": "is a file; give the folder",
        ".": "give bare$",
    }
    for place, message in refused.items():
        with pytest.raises(hfspec.UsageError, match=message):
            command("--from", place, "-o", "x.yaml")
    with pytest.raises(hfspec.SpecError):
        command("nonsense", "--from", checkpoint("gpt2"), "-o", "x.yaml")
    assert not Path("x.yaml").exists()
