"""Components of their own are used, with their options; a predictor's own objects are the library's, for native use."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import hfspec
from hfspec.errors import SourceError, SpecError, UsageError
from hfspec.tasks import table
from tests.runtime.images import picture
from tests.runtime.sounds import RATE, tone
from tests.samples import SAMPLES, TRANSFORMERS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # of the libraries' own calls of each other
SPEECH, PICTURES = "automatic-speech-recognition", "image-classification"
IMAGES = [picture(1), picture(2, (64, 40))]
SOUNDS = [tone(220, 1.2), tone(880, 0.7), tone(440, 2)]
TEXTS = ["hello world, this is a film", "the dog", "a man is eating food"]


@pytest.fixture
def loaded(build, checkpoint):
    """``loaded(checkpoint_name, task, **keys)``: its predictor."""
    return lambda name, task, **keys: hfspec.load(build(checkpoint(name), task, **keys), verify=False)


@pytest.fixture
def bare(checkpoint, tmp_path):
    """``bare(name)``: a copy of a checkpoint's folder without its weights, for a test to change."""

    def get(name):
        folder = shutil.copytree(checkpoint(name), tmp_path / name)
        (folder / "model.safetensors").unlink()
        return folder

    return get


def changed(folder, **values):
    """The folder, its preprocessor's config with these values."""
    for name in ("preprocessor_config.json", "processor_config.json"):
        if (folder / name).is_file():
            config = json.loads((folder / name).read_text(encoding="utf-8"))
            config.get("feature_extractor", config).update(values)
            (folder / name).write_text(json.dumps(config), encoding="utf-8")
    return folder


def scores_of(predictor, data):
    """label -> score for each row."""
    rows = predictor.predict(data, outputs="full")
    return [dict(zip(row["labels"], row["scores"], strict=True)) for row in rows]


def ranked(logits, config):
    return [{config.id2label[place]: float(score) for place, score in enumerate(row)} for row in logits.softmax(-1)]


def assert_scores(found, wanted):
    assert len(found) == len(wanted)
    for mine, other in zip(found, wanted, strict=True):
        assert mine == pytest.approx(other, abs=1e-5)


def test_an_image_processor_of_its_own_with_options(loaded, bare, checkpoint):
    import torch
    from transformers import ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    source = changed(bare("vit"), image_std=[0.25] * 3)
    options = {"image_mean": [0.1, 0.2, 0.3]}
    component = {"image_processor": {"path": str(source), "options": options}}
    predictor = loaded("vit", "image-classification", components=component)
    processor = ViTImageProcessorPil.from_pretrained(source, **options)
    model = ViTForImageClassification.from_pretrained(checkpoint("vit")).eval()
    with torch.no_grad():
        logits = torch.cat([model(**processor(images=image, return_tensors="pt")).logits for image in IMAGES])
    assert_scores(scores_of(predictor, IMAGES), ranked(logits, model.config))
    plain = scores_of(loaded("vit", "image-classification"), IMAGES)
    assert plain[0] != pytest.approx(ranked(logits, model.config)[0], abs=1e-3)


def test_a_feature_extractor_of_its_own_with_options(loaded, bare, checkpoint):
    import torch
    from transformers import Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification

    source = bare("wav2vec2-keywords")
    own = Wav2Vec2FeatureExtractor.from_pretrained(source).do_normalize
    component = {"feature_extractor": {"path": str(source), "options": {"do_normalize": not own}}}
    predictor = loaded("wav2vec2-keywords", "audio-classification", components=component)
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(source, do_normalize=not own)
    model = Wav2Vec2ForSequenceClassification.from_pretrained(checkpoint("wav2vec2-keywords")).eval()
    with torch.no_grad():
        made = [extractor(sound, sampling_rate=RATE, return_tensors="pt") for sound in SOUNDS]
        logits = torch.cat([model(**features).logits for features in made])
    assert_scores(scores_of(predictor, SOUNDS), ranked(logits, model.config))


def test_a_processor_is_feature_extractor_and_tokenizer_at_once(loaded, bare, checkpoint):
    from transformers import WhisperForConditionalGeneration, WhisperProcessor, pipeline

    source = changed(bare("whisper"), n_fft=512)
    predictor = loaded("whisper", SPEECH, components={"processor": {"path": str(source)}})
    model = WhisperForConditionalGeneration.from_pretrained(checkpoint("whisper")).eval()

    def truth(folder):
        words = WhisperProcessor.from_pretrained(folder)
        parts = {"tokenizer": words.tokenizer, "feature_extractor": words.feature_extractor}
        pipe = pipeline(SPEECH, model=model, device="cpu", **parts)
        return [pipe(sound)["text"] for sound in SOUNDS]

    assert WhisperProcessor.from_pretrained(source).feature_extractor.n_fft == 512
    assert predictor.predict(SOUNDS) == truth(source)
    assert predictor.predict(SOUNDS) != truth(checkpoint("whisper"))
    found = predictor.components()
    assert isinstance(found["processor"], WhisperProcessor)
    assert found["tokenizer"] is found["processor"].tokenizer
    assert found["feature_extractor"] is found["processor"].feature_extractor
    assert predictor.pipeline()(SOUNDS[0])["text"] == predictor.predict(SOUNDS[0])[0]


def test_the_artifact_holds_the_components_and_says_where_they_are_from(build, bare, checkpoint):
    components = {
        "feature_extractor": {"path": str(bare("whisper")), "options": {"dither": 0.0}},
        "tokenizer": {"path": str(checkpoint("whisper"))},
    }
    folder = build(checkpoint("whisper"), "automatic-speech-recognition", components=components)
    manifest = hfspec.verify(folder)
    assert [source.role for source in manifest.sources] == [
        "model",
        "components/tokenizer",
        "components/feature_extractor",
    ]
    assert manifest.deployment.options == {"feature_extractor": {"dither": 0.0}}
    assert manifest.deployment.components["feature_extractor"] == "WhisperFeatureExtractor"
    files = {path.name for path in (folder / "components" / "feature_extractor").iterdir()}
    assert files - {"preprocessor_config.json", "processor_config.json"} == {"config.json", "README.md", "LICENSE"}
    assert len(files) == 4
    assert not list((folder / "components").rglob("*.safetensors"))


def test_a_component_from_the_hub_is_pinned(hub, checkpoint, tmp_path):
    source = {"repo": "google/vit-base-patch16-224", "revision": "main"}
    spec = tmp_path / "spec.yaml"
    document = {
        "spec_version": 1,
        "library": "transformers",
        "task": "image-classification",
        "model": {"path": str(checkpoint("vit"))},
        "components": {"image_processor": source},
    }
    spec.write_text(json.dumps(document), encoding="utf-8")
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False)
    _, component = artifact.manifest.sources
    assert (component.role, component.location) == ("components/image_processor", source["repo"])
    assert len(component.commit) == 40
    assert f"revision: {component.commit}" in (artifact.path / "spec.yaml").read_text(encoding="utf-8").replace('"', "")
    assert len(hfspec.load(artifact.path).predict(IMAGES)) == 2


@pytest.mark.parametrize(
    ("model", "task", "name", "source", "said"),
    [
        ("whisper", SPEECH, "processor", "vit", "has no tokenizer files"),
        ("whisper", SPEECH, "processor", "bert-sentiment", "has no processor files"),
        ("whisper", SPEECH, "feature_extractor", "bert-sentiment", "has no feature extractor files"),
        ("vit", PICTURES, "image_processor", "bert-sentiment", "has no image processor files"),
    ],
)
def test_a_source_without_the_component(build, checkpoint, model, task, name, source, said):
    with pytest.raises(SourceError, match=said) as refused:
        build(checkpoint(model), task, components={name: {"path": str(checkpoint(source))}})
    assert f"components.{name}" in str(refused.value)


def test_a_component_that_the_library_cannot_make(build, checkpoint, bare):
    source = changed(bare("vit"), image_processor_type="NoSuchImageProcessor")
    (source / "config.json").unlink()
    with pytest.raises(SpecError) as refused:
        build(checkpoint("vit"), PICTURES, components={"image_processor": {"path": str(source)}})
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == ("broken-processor", ("components", "image_processor"))


def test_a_source_whose_parts_are_no_processor(build, checkpoint, bare):
    source = bare("bert-sentiment")
    shutil.copy(checkpoint("vit") / "preprocessor_config.json", source)
    with pytest.raises(SpecError) as refused:
        build(checkpoint("whisper"), SPEECH, components={"processor": {"path": str(source)}})
    assert {problem.path for problem in refused.value.problems} == {("components", "processor")}


@pytest.mark.parametrize(
    ("model", "task", "name", "option", "nearest"),
    [
        ("wav2vec2-keywords", "audio-classification", "feature_extractor", "do_normalise", "do_normalize"),
        ("vit", PICTURES, "image_processor", "image_means", "image_mean"),
        ("whisper", SPEECH, "processor", "dithering", "dither"),
    ],
)
def test_an_option_that_the_component_does_not_have(build, checkpoint, model, task, name, option, nearest):
    source = {"path": str(checkpoint(model)), "options": {option: 1.0}}
    with pytest.raises(SpecError) as refused:
        build(checkpoint(model), task, components={name: source})
    (problem,) = refused.value.problems
    assert (problem.code, problem.path) == ("unknown-option", ("components", name, "options", option))
    assert problem.nearest == nearest


def test_a_processors_options_reach_both_its_parts(loaded, checkpoint):
    options = {"dither": 0.5, "model_max_length": 40}
    source = {"path": str(checkpoint("whisper")), "options": options}
    found = loaded("whisper", SPEECH, components={"processor": source}).components()
    assert (found["feature_extractor"].dither, found["tokenizer"].model_max_length) == (0.5, 40)


OF_TRANSFORMERS = [name for library, name in table.TASKS if library == TRANSFORMERS]
GONE = {"text2text-generation", "summarization", "question-answering"}


@pytest.fixture
def sample(build, checkpoint):
    """``sample(task)``: a predictor of a task of transformers, the checkpoint that it is made of, and two rows."""

    def get(name):
        task, one = table.find(TRANSFORMERS, name), SAMPLES[TRANSFORMERS, name]
        is_request = any(column.name == "max_tokens" for column in task.inputs)
        short = {"max_new_tokens": 4} if task.setting("max_new_tokens") and not is_request else {}
        folder = build(checkpoint(one.checkpoint), name, library=TRANSFORMERS, model_config={**one.settings, **short})
        rows = [row for row in one.rows() if not isinstance(row, str) or row.strip()]
        return hfspec.load(folder, verify=False), checkpoint(one.checkpoint), rows[:2]

    return get


@pytest.mark.parametrize("task", OF_TRANSFORMERS)
def test_the_objects_are_the_librarys_and_the_predictors_own(sample, task):
    """A change of the weights that are given is a change of those that answer."""
    import torch
    from transformers import PreTrainedModel

    predictor, _, rows = sample(task)
    components = predictor.components()
    names = {"model", *predictor.task.components}
    assert set(components) == {"task", "dtype"} | names
    assert components["task"] == task
    assert components["dtype"] is torch.float32
    assert isinstance(components["model"], PreTrainedModel)
    assert all(predictor.components()[name] is components[name] for name in names)
    before = predictor.predict_json(rows, outputs="full")
    with torch.no_grad():
        for name, weights in components["model"].named_parameters():
            if "parametrizations" not in name:  # a weight norm of zeros divides by zero
                weights.mul_(0.0)
    assert predictor.predict_json(rows, outputs="full") != before


@pytest.mark.parametrize("task", OF_TRANSFORMERS)
def test_the_librarys_pipeline_over_them(sample, task):
    """It answers as one made of the checkpoint does, and leaves the predictor as it was."""
    import transformers
    from transformers.pipelines import PIPELINE_REGISTRY

    predictor, folder, rows = sample(task)
    if task not in PIPELINE_REGISTRY.supported_tasks:
        with pytest.raises(UsageError, match=f"no pipeline for the task {task}"):
            predictor.pipeline()
        return
    before = predictor.predict_json(rows, outputs="full")
    pipe = predictor.pipeline()
    assert type(pipe).__name__.removesuffix("Pipeline").lower() == task.replace("-", "")
    assert pipe.model is predictor.components()["model"]
    answer = called(pipe, rows[0])
    transformers.logging.set_verbosity_error()
    made = transformers.pipeline(**predictor.components())
    native = transformers.pipeline(task, str(folder), device="cpu")
    assert repr(answer) == repr(called(made, rows[0]))
    assert plain(answer) == plain(called(native, rows[0]))
    assert predictor.predict_json(rows, outputs="full") == before


def called(pipe, one):
    """Some pipelines change the dict that they are given; one takes it apart."""
    if pipe.task == "zero-shot-classification":
        return pipe(one["sequences"], candidate_labels=one["candidate_labels"])
    return pipe(dict(one) if isinstance(one, dict) else one)


def plain(answer):
    """Numbers rounded, so that the order of a sum does not matter."""
    if isinstance(answer, dict):
        return {name: plain(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [plain(value) for value in answer]
    return round(float(answer), 4) if isinstance(answer, float | np.floating) else answer


def test_the_model_keeps_the_checkpoints_generation_config(loaded, checkpoint):
    from transformers import GenerationConfig

    for name, task in (("gpt2", "text-generation"), ("t5", "text2text-generation")):
        predictor = loaded(name, task)
        predictor.predict(TEXTS)
        config = predictor.components()["model"].generation_config.to_diff_dict()
        wanted = GenerationConfig.from_pretrained(checkpoint(name)).to_diff_dict()
        assert {key: config.get(key) for key in wanted} == wanted


@pytest.mark.parametrize("task", sorted(GONE))
def test_a_pipeline_that_the_library_no_longer_has(loaded, task):
    with pytest.raises(UsageError, match=f"no pipeline for the task {task}, which was removed in transformers 5") as no:
        loaded(SAMPLES[TRANSFORMERS, task].checkpoint, task).pipeline()
    assert "predict()" in str(no.value)
    assert "components()" in str(no.value)


def test_a_pipeline_that_the_library_never_had(loaded):
    with pytest.raises(UsageError, match="no pipeline for the task llm/v1/chat, which is not one of its pipelines"):
        loaded("llama-chat", "llm/v1/chat").pipeline()


def test_a_translations_name_says_its_languages(loaded):
    predictor = loaded("t5", "translation_en_to_fr")
    assert predictor.components()["task"] == "translation_en_to_fr"
    with pytest.raises(UsageError, match="no pipeline for the task translation"):
        predictor.pipeline()


def test_the_dtype_and_the_tokenizer_of_the_deployment(build, checkpoint):
    import torch

    own = {"path": str(checkpoint("minilm-like")), "options": {"model_max_length": 7}}
    folder = build(checkpoint("bert-sentiment"), "text-classification", components={"tokenizer": own})
    found = hfspec.load(folder, dtype="bfloat16").components()
    assert found["dtype"] is torch.bfloat16
    assert found["model"].dtype is torch.bfloat16
    assert found["tokenizer"].model_max_length == 7
    assert hfspec.load(folder, dtype="bfloat16").pipeline().dtype is torch.bfloat16


@pytest.mark.parametrize("name", ["minilm-like", "st-dense"])
def test_of_sentence_transformers_the_model_is_all(loaded, name):
    from sentence_transformers import SentenceTransformer

    predictor = loaded(name, "feature-extraction")
    found = predictor.components()
    assert set(found) == {"model"}
    assert isinstance(found["model"], SentenceTransformer)
    assert predictor.components()["model"] is found["model"]
    np.testing.assert_allclose(found["model"].encode(TEXTS), predictor.predict(TEXTS), atol=1e-5)
    with pytest.raises(UsageError, match=r"components\(\)\['model'\] is the SentenceTransformer itself"):
        predictor.pipeline()


def test_a_sentence_model_has_the_deployments_tokenizer(loaded, checkpoint):
    own = {"path": str(checkpoint("minilm-like")), "options": {"model_max_length": 6}}
    predictor = loaded("minilm-like", "feature-extraction", components={"tokenizer": own})
    model = predictor.components()["model"]
    long = ["a fine film about a house " * 5]
    np.testing.assert_allclose(model.encode(long), predictor.predict(long), atol=1e-5)
    assert model.tokenizer.model_max_length == 6


def test_a_rankers_model_is_a_cross_encoder(build, checkpoint):
    from sentence_transformers import CrossEncoder

    folder = build(checkpoint("roberta-stsb"), "text-ranking", library="sentence-transformers")
    model = hfspec.load(folder).components()["model"]
    assert isinstance(model, CrossEncoder)
    pair = [("the dog", "a dog")]
    np.testing.assert_allclose(model.predict(pair), hfspec.load(folder).predict(pair), atol=1e-5)


def test_every_tasks_components_are_among_those_a_spec_can_bring():
    from hfspec.ir.spec_keys import Components

    for library, name in table.TASKS:
        task = table.find(library, name)
        assert set(task.replaceable) <= set(Components.model_fields)
        assert set(task.components) <= set(task.replaceable)
