"""MLflow's own transformers module makes the library's pipeline of an artifact, from the same weights."""

from __future__ import annotations

import json

import mlflow
import pytest
import torch
import transformers
import yaml
from mlflow.exceptions import MlflowException
from sentence_transformers import SentenceTransformer

import hfspec
from tests.mlflow.deployments import DEPLOYMENTS, HELLO, ST
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


def compiled(place, spec):
    file = place / "spec.yaml"
    file.write_text(json.dumps({"spec_version": 1, **spec}), encoding="utf-8")
    return hfspec.compile(file, place / "artifact", run=False).path


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


def tasks_without(deployment):
    if deployment.library == ST or deployment.task == "llm/v1/embeddings":
        return deployment.task in {"sparse-embedding", "text-ranking"}
    return deployment.task not in PIPELINES


@pytest.mark.parametrize("deployment", filter(tasks_without, DEPLOYMENTS), ids=lambda each: each.name)
def test_tasks_without_an_object_have_no_flavor(deployment, artifact):
    folder = artifact(deployment)
    for library in (mlflow.transformers, mlflow.sentence_transformers):
        with pytest.raises(MlflowException, match=r'does not have the ".*transformers" flavor'):
            library.load_model(str(folder))
    assert not (folder / "components").exists()
    assert not (folder / "model.sentence_transformer").exists()


def encoders(deployment):
    return (deployment.library == ST and not tasks_without(deployment)) or deployment.task == "llm/v1/embeddings"


@pytest.mark.parametrize("deployment", filter(encoders, DEPLOYMENTS), ids=lambda each: each.name)
def test_the_sentence_transformer_is_that_of_the_source(deployment, artifact, checkpoint, tmp_path):
    folder = artifact(deployment)
    before = hfspec.verify(folder)
    expected = SentenceTransformer(str(checkpoint(deployment.checkpoint)), device="cpu")
    loaded = mlflow.sentence_transformers.load_model(str(folder)).to("cpu")
    assert [type(module) for module in loaded] == [type(module) for module in expected]
    assert (loaded.max_seq_length, loaded.prompts) == (expected.max_seq_length, expected.prompts)
    texts = ["a fine film", "", "a"]
    assert loaded.encode(texts).tolist() == expected.encode(texts).tolist()
    loaded.save(str(tmp_path / "saved"))
    saved = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    assert saved.encode(texts).tolist() == expected.encode(texts).tolist()
    assert [path.name for path in folder.rglob("*.safetensors")] == ["model.safetensors"]
    assert hfspec.verify(folder) == before


@pytest.mark.parametrize("name", ["st-dense", "gpt2"])
def test_modules_with_weights_and_the_last_token(name, checkpoint, tmp_path):
    """Dense modules come from model/ too; a causal model without modules.json embeds by its last token."""
    source = checkpoint(name)
    library = {"library": "transformers"} if name == "gpt2" else {"library": ST}
    folder = compiled(tmp_path, {**library, "task": "llm/v1/embeddings", "model": {"path": str(source)}})
    expected = SentenceTransformer(str(source), device="cpu")
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    loaded = mlflow.sentence_transformers.load_model(str(moved))
    for each in (expected, loaded):
        each.tokenizer.pad_token = each.tokenizer.pad_token or each.tokenizer.eos_token
    assert [type(module) for module in loaded] == [type(module) for module in expected]
    assert loaded.encode(["a fine film", "a"]).tolist() == expected.encode(["a fine film", "a"]).tolist()


@pytest.mark.parametrize("mode", ["reference", "adapter", "adapter-on-reference"])
def test_weights_elsewhere_and_adapters_beside_have_no_flavor(mode, of_mode):
    with pytest.raises(MlflowException, match='does not have the "transformers" flavor'):
        mlflow.transformers.load_model(str(of_mode(mode)))


def test_persisting_adds_the_flavor(of_mode, copy_of):
    folder = copy_of(of_mode("reference"))
    hfspec.persist(folder)
    found = mlflow.transformers.load_model(str(folder), device="cpu")("a fine film")
    assert set(found[0]) == {"label", "score"}


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
