"""MLflow's own transformers module makes the library's pipeline of an artifact, from the same weights."""

from __future__ import annotations

import mlflow
import pytest
import torch
import transformers
import yaml
from mlflow.exceptions import MlflowException

import hfspec
from tests.mlflow.deployments import DEPLOYMENTS, HELLO
from tests.runtime import images, sounds

# Of the libraries' own calls, as in the tests of these tasks.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
GREEDY = {"max_new_tokens": 4, "do_sample": False}
# Task -> its pipeline, what it is asked, and with which options.
PIPELINES = {
    "text-classification": ("text-classification", ["a fine film", "5"], {"top_k": None}),
    "token-classification": ("token-classification", ["my name is Sarah"], {}),
    "fill-mask": ("fill-mask", ["a [MASK] film"], {}),
    "feature-extraction": ("feature-extraction", ["a fine film"], {}),
    "zero-shot-classification": ("zero-shot-classification", ["at sea"], {"candidate_labels": ["travel", "food"]}),
    "table-question-answering": (
        "table-question-answering",
        [{"query": "how old?", "table": {"actors": ["brad pitt", "george clooney"], "age": ["56", "45"]}}],
        {},
    ),
    "text-generation": ("text-generation", ["the house"], GREEDY),
    "llm/v1/chat": ("text-generation", [HELLO], GREEDY),
    "llm/v1/completions": ("text-generation", ["a fine"], GREEDY),
    "audio-classification": ("audio-classification", [sounds.tone(440, 0.3)], {}),
    "automatic-speech-recognition": ("automatic-speech-recognition", [sounds.tone(440, 0.3)], {}),
    "image-classification": ("image-classification", [images.picture(1)], {}),
}
EACH = pytest.mark.parametrize("task", PIPELINES)


def answers(pipeline, task):
    _, asked, options = PIPELINES[task]
    torch.manual_seed(0)
    return str([pipeline(one, **options) for one in asked])


@EACH
def test_the_pipeline_answers_as_that_of_the_source(task, of_task, checkpoint):
    folder, name = of_task(task), PIPELINES[task][0]
    source = next(each for each in DEPLOYMENTS if each.task == task and each.library == "transformers").checkpoint
    expected = transformers.pipeline(name, model=str(checkpoint(source)), device="cpu")
    before = hfspec.verify(folder)
    loaded = mlflow.transformers.load_model(str(folder), device="cpu")
    assert (type(loaded), loaded.task, loaded.model.dtype) == (type(expected), name, expected.model.dtype)
    assert answers(loaded, task) == answers(expected, task)
    components = mlflow.transformers.load_model(str(folder), return_type="components")
    assert type(components["model"]) is type(expected.model)
    for part in ("tokenizer", "feature_extractor", "image_processor"):
        assert type(components.get(part)) is type(getattr(expected, part, None)) or part not in components
    assert answers(transformers.pipeline(**components), task) == answers(expected, task)
    assert hfspec.verify(folder) == before


@EACH
def test_the_flavor_is_what_mlflow_itself_would_write(task, of_task):
    folder = of_task(task)
    flavor = yaml.safe_load((folder / "MLmodel").read_text())["flavors"]["transformers"]
    from mlflow.transformers.flavor_config import build_flavor_config

    written = build_flavor_config(mlflow.transformers.load_model(str(folder), device="cpu"))
    for key in written.keys() - {"source_model_name", "components"}:
        assert flavor[key] == written[key], key
    assert set(flavor["components"]) == set(written["components"])
    assert flavor.get("inference_task") == (task if task.startswith("llm/") else None)


@EACH
def test_the_weights_are_there_once(task, of_task):
    folder = of_task(task)
    weights = {path.relative_to(folder).as_posix() for path in folder.rglob("*.safetensors")}
    assert weights == {"model/model.safetensors"}


def without(deployment):
    return deployment.library != "transformers" or deployment.task not in PIPELINES


@pytest.mark.parametrize("deployment", filter(without, DEPLOYMENTS), ids=lambda each: each.name)
def test_tasks_without_a_pipeline_have_no_flavor(deployment, artifact):
    folder = artifact(deployment)
    with pytest.raises(MlflowException, match='does not have the "transformers" flavor'):
        mlflow.transformers.load_model(str(folder))
    assert not (folder / "components").exists()


@pytest.mark.parametrize("mode", ["reference", "adapter", "adapter-on-reference"])
def test_weights_elsewhere_and_adapters_beside_have_no_flavor(mode, of_mode):
    with pytest.raises(MlflowException, match='does not have the "transformers" flavor'):
        mlflow.transformers.load_model(str(of_mode(mode)))


def test_a_merged_adapter_is_in_the_pipeline(of_mode):
    folder = of_mode("merged")
    found = mlflow.transformers.load_model(str(folder), device="cpu")(["a fine film"], top_k=1)
    (expected,) = hfspec.load(folder).predict_json(["a fine film"], outputs=None)[:1]
    assert expected["score"] == pytest.approx(max(found[0][0]["score"], 0), abs=1e-6)


def test_files_that_mlflow_reads_are_verified(of_task, copy_of):
    folder = copy_of(of_task("text-classification"))
    (folder / "components" / "tokenizer" / "tokenizer.json").write_text("{}")
    with pytest.raises(hfspec.VerificationError, match=r"components/tokenizer/tokenizer\.json"):
        hfspec.verify(folder)
