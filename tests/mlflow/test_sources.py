"""Models that MLflow's own flavors logged, compiled from its registry and its runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
import yaml

import hfspec
from hfspec.cli.app import app
from hfspec.errors import SourceError

TEXTS = ["a fine film", "a dull one, and far too long"]


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> Iterator[dict[str, Any]]:
    """A tracking server's store with a classifier in two versions, an embedder, and models that are no checkpoints."""
    import transformers
    from sentence_transformers import SentenceTransformer

    folder = tmp_path_factory.mktemp("store")
    before = mlflow.get_tracking_uri()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        mlflow.set_tracking_uri(f"sqlite:///{folder}/store.db")
        mlflow.create_experiment("models", (folder / "artifacts").as_uri())
        mlflow.set_experiment("models")
        pipeline = transformers.pipeline("text-classification", str(checkpoint("bert-sentiment")))
        with mlflow.start_run() as run:
            logged = [
                mlflow.transformers.log_model(
                    pipeline, name="model", pip_requirements=["transformers"], registered_model_name="sentiment"
                )
                for _ in range(2)
            ]
            embedder = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu")
            mlflow.sentence_transformers.log_model(
                embedder, name="embedder", pip_requirements=["transformers"], registered_model_name="embedder"
            )
            chatter = transformers.pipeline("text-generation", str(checkpoint("llama-chat")))
            for name, task in (("prompts", "text-generation"), ("chat", "llm/v1/chat")):
                mlflow.transformers.log_model(
                    chatter, name=name, task=task, pip_requirements=["transformers"], registered_model_name=name
                )
            mlflow.pyfunc.log_model(
                name="function",
                python_model=_Echo(),
                pip_requirements=["mlflow"],
                registered_model_name="function",
            )
        mlflow.MlflowClient().set_registered_model_alias("sentiment", "champion", "1")
        compiled = hfspec.compile(spec(folder, "models:/sentiment/1"), folder / "compiled")
        app(["mlflow", "log", str(compiled.path), "--register", "compiled"], standalone_mode=False)
        yield {"run": run.info.run_id, "logged": logged, "folder": folder}
    mlflow.set_tracking_uri(before)


class _Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> list[str]:
        return model_input


def spec(folder: Path, place: str, **keys: Any) -> Path:
    file = folder / "spec.yaml"
    stated = {"library": "transformers", "task": "text-classification", "dtype": "float32", **keys}
    file.write_text(yaml.safe_dump({"spec_version": 1, "model": {"mlflow": place}, **stated}), encoding="utf-8")
    return file


def computed(folder: Path) -> list[float]:
    """The likeliest label's score of each text, by the model itself."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder)
    with torch.inference_mode():
        logits = model(**tokenizer(TEXTS, padding=True, return_tensors="pt")).logits
    return logits.softmax(-1).max(-1).values.tolist()


INIT = [
    ("models:/sentiment/1", "models:/sentiment/1", "transformers", "text-classification"),
    ("models:/sentiment@champion", "models:/sentiment/1", "transformers", "text-classification"),
    ("models:/prompts/1", "models:/prompts/1", "transformers", "text-generation"),
    ("models:/chat/latest", "models:/chat/1", "transformers", "llm/v1/chat"),
    ("models:/embedder/1", "models:/embedder/1", "sentence-transformers", "feature-extraction"),
]


@pytest.mark.parametrize(("place", "pinned", "library", "task"), INIT, ids=[row[0] for row in INIT])
def test_init_begins_a_spec_from_the_registry(place, pinned, library, task, registry, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    app(["init", "--from", place, "-o", "new.yaml"], standalone_mode=False)
    begun = hfspec.load_spec("new.yaml")
    assert (begun.library, begun.task, begun.model.mlflow) == (library, task, pinned)
    assert hfspec.validate("new.yaml") == ()
    assert hfspec.plan("new.yaml").deployment.task == task


@pytest.mark.parametrize(
    ("place", "error", "said"),
    [
        ("models:/function/1", SourceError, "logged it with python_function"),
        ("models:/nobody/1", SourceError, "nobody"),
        ("models:/sentiment/9", SourceError, "says"),
        ("models:/compiled/1", hfspec.UsageError, "hfspec mlflow pull models:/compiled/1 -o DIR"),
    ],
)
def test_init_refuses_what_a_spec_cannot_begin_from(place, error, said, registry, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        app(["init", "--from", place, "-o", "new.yaml"], standalone_mode=False)
    assert not (tmp_path / "new.yaml").exists()


@pytest.mark.parametrize("place", ["models:/sentiment/2", "models:/sentiment@champion", "models:/sentiment/latest"])
def test_a_registered_classifier_answers_as_the_model_that_was_logged(
    tmp_path: Path, registry: dict[str, Any], checkpoint: Callable[[str], Path], place: str
) -> None:
    artifact = hfspec.compile(spec(tmp_path, place, input_example=TEXTS), tmp_path / "out", run=False)
    answer = hfspec.load(artifact.path).predict(TEXTS)
    assert answer["score"].tolist() == pytest.approx(computed(checkpoint("bert-sentiment")), abs=1e-6)
    assert hfspec.verify(artifact.path).sources[0].version == f"models:/sentiment/{'1' if '@' in place else '2'}"


def test_a_run_and_a_logged_model_are_sources_too(
    tmp_path: Path, registry: dict[str, Any], checkpoint: Callable[[str], Path]
) -> None:
    right = computed(checkpoint("bert-sentiment"))
    for number, place in enumerate((f"runs:/{registry['run']}/model", f"models:/{registry['logged'][0].model_id}")):
        artifact = hfspec.compile(spec(tmp_path, place), tmp_path / f"out{number}", run=False)
        assert hfspec.load(artifact.path).predict(TEXTS)["score"].tolist() == pytest.approx(right, abs=1e-6)


def test_a_sentence_transformer_from_the_registry_embeds_as_it_does(
    tmp_path: Path, registry: dict[str, Any], checkpoint: Callable[[str], Path]
) -> None:
    from sentence_transformers import SentenceTransformer

    keys = {"library": "sentence-transformers", "task": "feature-extraction"}
    artifact = hfspec.compile(spec(tmp_path, "models:/embedder/1", **keys), tmp_path / "out", run=False)
    right = SentenceTransformer(str(checkpoint("minilm-like")), device="cpu").encode(TEXTS)
    assert hfspec.load(artifact.path).predict(TEXTS) == pytest.approx(right, abs=1e-6)


def test_a_lock_holds_the_version_when_the_alias_moves(tmp_path: Path, registry: dict[str, Any]) -> None:
    client = mlflow.MlflowClient()
    file = spec(tmp_path, "models:/sentiment@moving")
    client.set_registered_model_alias("sentiment", "moving", "1")
    hfspec.lock(file)
    client.set_registered_model_alias("sentiment", "moving", "2")
    assert hfspec.compile(file, tmp_path / "out", locked=True, run=False).manifest.sources[0].version == (
        "models:/sentiment/1"
    )
    assert json.loads(file.with_name("spec.yaml.lock").read_bytes())["sources"][0]["version"] == "models:/sentiment/1"


def test_weights_by_reference_stay_in_mlflow(
    tmp_path: Path, registry: dict[str, Any], checkpoint: Callable[[str], Path]
) -> None:
    file = spec(tmp_path, "models:/sentiment/1", save_mode="reference")
    artifact = hfspec.compile(file, tmp_path / "out", run=False)
    assert not list((artifact.path / "model").glob("*.safetensors"))
    right = computed(checkpoint("bert-sentiment"))
    assert hfspec.load(artifact.path).predict(TEXTS)["score"].tolist() == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("models:/absent/1", "absent"),
        ("models:/sentiment/9", "9"),
        ("models:/sentiment@nobody", "nobody"),
        ("models:/sentiment/newest", "`latest`"),
        ("models:/function/1", "python_function"),
        ("runs:/0123456789abcdef0123456789abcdef/model", "0123456789abcdef"),
    ],
)
def test_what_mlflow_cannot_give_is_said_at_its_place(
    tmp_path: Path, registry: dict[str, Any], place: str, told: str
) -> None:
    with pytest.raises(SourceError) as raised:
        hfspec.plan(spec(tmp_path, place))
    assert "spec.yaml:" in str(raised.value)
    assert told in str(raised.value)


@pytest.mark.parametrize("place", ["sentiment/1", "models:/", "runs:/abc", "s3://bucket/model", "models:/a b/1"])
def test_a_location_of_another_form_is_refused_by_validate(tmp_path: Path, place: str) -> None:
    (problem,) = hfspec.validate(spec(tmp_path, place))
    assert problem.path == ("model", "mlflow")


def test_a_revision_goes_with_a_repository_only(tmp_path: Path) -> None:
    file = spec(tmp_path, "models:/sentiment/1")
    file.write_text(file.read_text().replace("mlflow: models:/sentiment/1", "{mlflow: models:/s/1, revision: main}"))
    assert "revision-without-repo" in {problem.code for problem in hfspec.validate(file)}
