"""Checkpoints of transformers made models of ONNX Runtime's generate() at compile, with transformers' own answers."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import transformers

import hfspec
from hfspec.comparison.diff import diff
from hfspec.libraries.onnxruntime_genai import building, conversion
from tests.checkpoints import genai_models
from tests.checkpoints.adapters import adapt
from tests.compiling import change_json, refusal, write_spec
from tests.libraries.blocking import told

PROMPTS = ["hello world", "the capital of Spain is"]
NEW = 8
KEYS = {
    "task": "text-generation",
    "model_config": {"max_new_tokens": NEW, "return_full_text": False},
    "input_example": PROMPTS,
}
FP32 = {"to": "onnxruntime-genai", "precision": "fp32"}
ASKED = """
import json, sys, hfspec
print(json.dumps(hfspec.load(sys.argv[1]).predict(json.loads(sys.argv[2]))))
"""
BY_MLFLOW = """
import json, sys, mlflow
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict(json.loads(sys.argv[2]))))
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return genai_models.checkpoint("llama", tmp_path_factory.mktemp("sources") / "llama")


@pytest.fixture(scope="module")
def compiled(source, tmp_path_factory):
    place = tmp_path_factory.mktemp("converted")
    expected = [text for text, _ in genai_models.greedy(source, PROMPTS, NEW)]
    golden = [{"input": PROMPTS[1:], "output": expected[1:]}]
    spec = write_spec(place, source, **KEYS, convert=FP32, golden=golden)
    return hfspec.compile(spec, output=place / "artifact")


@pytest.fixture
def in_process(monkeypatch):
    """The builder in this process, which has imported torch already."""

    def build(sources, source, target, asked):
        try:
            genai_models.build(source, target, asked.precision)
        except Exception as error:
            raise conversion._refusal(sources, str(error)) from error

    monkeypatch.setattr(conversion, "_build", build)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # as in the builder's own process


def test_a_converted_model_answers_as_transformers_does_and_needs_no_torch(compiled, source, tmp_path):
    said = told(tmp_path / "blocked", ASKED, str(compiled.path), json.dumps(PROMPTS))
    assert said == [text for text, _ in genai_models.greedy(source, PROMPTS, NEW)]
    lines = (compiled.path / "requirements.txt").read_text().split()
    assert {line.partition("==")[0] for line in lines} == {"jinja2", "numpy", "onnxruntime-genai", "tokenizers"}


def test_mlflow_loads_it_without_torch(compiled, source, tmp_path):
    said = told(tmp_path / "blocked", BY_MLFLOW, str(compiled.path), json.dumps(PROMPTS))
    assert said == [text for text, _ in genai_models.greedy(source, PROMPTS, NEW)]


def test_the_manifest_says_how_it_was_made(compiled, source):
    made = compiled.manifest.converted
    weights = hashlib.sha256((source / "model.safetensors").read_bytes()).hexdigest()
    assert made["weights"] == {"model/model.safetensors": weights}
    assert (made["to"], made["precision"], made["execution_provider"]) == ("onnxruntime-genai", "fp32", "cpu")
    assert made["made_by"]["transformers"] == transformers.__version__
    assert set(made["made_by"]) == {"onnxruntime-genai", "onnxruntime", "onnx-ir", "torch", "transformers"}
    assert made["agreement"] == {"prompts": 2, "tokens": 2 * NEW, "same": 2 * NEW}
    assert f"{2 * NEW} of {2 * NEW} of the checkpoint's greedy tokens" in " ".join(compiled.notes)
    assert compiled.manifest.deployment.library == "onnxruntime-genai"
    (record,) = compiled.manifest.sources
    assert (record.kind, record.location) == ("path", "llama")


def test_nothing_of_the_checkpoint_or_of_this_machine_goes_along(compiled):
    paths = {one.path for one in compiled.manifest.files}
    assert {"model/genai_config.json", "model/model.onnx", "model/model.onnx.data", "model/tokenizer.json"} <= paths
    assert not [path for path in paths if path.endswith(".safetensors") or path.startswith("converted")]
    assert {path.name for path in compiled.path.iterdir()} == {path.partition("/")[0] for path in paths} | {
        "artifact.json"
    }
    texts = [path.read_bytes() for path in compiled.path.rglob("*") if path.suffix in (".json", ".onnx", ".jinja")]
    assert not [text for text in texts if b"conversion-" in text or b"/tmp/" in text]


def test_two_compiles_give_the_same_bytes(compiled, source, in_process, tmp_path):
    spec = Path(shutil.copytree(compiled.path.parent, tmp_path / "again", ignore=shutil.ignore_patterns("artifact")))
    again = hfspec.compile(spec / "spec.yaml", output=tmp_path / "out", run=False)
    assert {one.path: one.sha256 for one in again.manifest.files} == {
        one.path: one.sha256 for one in compiled.manifest.files
    }
    assert again.digest == compiled.digest


def test_int4_says_how_far_it_agrees_and_is_refused_beyond_the_tolerance(compiled, source, in_process, tmp_path):
    spec = write_spec(tmp_path / "a", source, **KEYS, convert={**FP32, "precision": "int4"})
    made = hfspec.compile(spec, output=tmp_path / "out", run=False)
    agreement = made.manifest.converted["agreement"]
    assert agreement["tokens"] == 2 * NEW
    assert any("products of 4-bit weights" in note for note in made.notes)
    assert 0 < agreement["same"] < agreement["tokens"]
    told_apart = {(one.group, one.key): one.after for one in diff(str(compiled.path), str(made.path))}
    assert told_apart["convert", "precision"] == "int4"
    assert told_apart["convert", "agreement.same"] == agreement["same"]
    assert ("weights", "sha256") in told_apart
    again = genai_models.build(source, tmp_path / "again", "int4")
    for name in ("model.onnx", "model.onnx.data", "genai_config.json"):
        assert (again / name).read_bytes() == (made.path / "model" / name).read_bytes()
    spec = write_spec(tmp_path / "b", source, **KEYS, convert={**FP32, "precision": "int4", "tolerance": 0})
    said = str(refusal(spec))
    wrong = agreement["tokens"] - agreement["same"]
    assert f"another than the checkpoint's at {wrong} of {2 * NEW} places; expected at most 0.0%" in said
    assert "spec.yaml:7:1: convert" in said


def test_fp16_is_a_model_of_half_the_size(compiled, source, in_process, tmp_path):
    spec = write_spec(tmp_path / "a", source, **KEYS, convert={**FP32, "precision": "fp16"})
    made = hfspec.compile(spec, output=tmp_path / "out", run=False)
    assert made.manifest.deployment.dtype == "float16"
    assert made.manifest.converted["agreement"]["same"] >= 2 * NEW - 2
    half, whole = (sum(one.size for one in each.manifest.files if ".onnx" in one.path) for each in (made, compiled))
    assert half < 0.7 * whole


def half(source, folder):
    """Its weights in bfloat16."""
    shutil.copytree(source, folder)
    with genai_models.quiet():
        transformers.AutoModelForCausalLM.from_pretrained(source, dtype="bfloat16").save_pretrained(folder)
    return genai_models.greedy(folder, PROMPTS, NEW, dtype="float32")


def tied(source, folder):
    """One matrix for what is read and what is written, and a second token that ends answers."""
    shutil.copytree(source, folder)
    with genai_models.quiet():
        model = transformers.AutoModelForCausalLM.from_pretrained(source)
        model.config.tie_word_embeddings = True
        model.lm_head.weight = model.model.embed_tokens.weight
        model.generation_config.eos_token_id = [1, 7]
        model.generation_config.do_sample = False
        model.save_pretrained(folder)
    return genai_models.greedy(folder, PROMPTS, NEW, ends=[1, 7])


@pytest.mark.parametrize("made", [half, tied])
def test_other_checkpoints_are_converted_as_they_are(source, in_process, tmp_path, made):
    expected = made(source, tmp_path / "model")
    spec = write_spec(tmp_path / "s", tmp_path / "model", **KEYS, convert=FP32)
    predictor = hfspec.load(hfspec.compile(spec, output=tmp_path / "out", run=False).path)
    rows = predictor.predict(PROMPTS, outputs="full")
    assert [(row["text"], row["completion_tokens"]) for row in rows] == expected


def test_a_model_that_the_builder_makes_otherwise_is_refused(source, in_process, tmp_path):
    """config.json ties two matrices, and the checkpoint has both: transformers does not tie them, the builder does."""
    model = Path(shutil.copytree(source, tmp_path / "model"))
    change_json(model / "config.json", tie_word_embeddings=True)
    said = str(refusal(write_spec(tmp_path / "s", model, **KEYS, convert=FP32)))
    assert "likeliest token is another than the checkpoint's at" in said
    assert "expected at most 0.0% of them" in said


def test_an_adapter_is_merged_before(source, in_process, tmp_path):
    from peft import LoraConfig, PeftModel

    config = LoraConfig(task_type="CAUSAL_LM", r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"])
    adapter = adapt(source, tmp_path / "adapter", "LlamaForCausalLM", config)
    with genai_models.quiet():
        model = transformers.AutoModelForCausalLM.from_pretrained(source)
        PeftModel.from_pretrained(model, adapter).merge_and_unload().save_pretrained(tmp_path / "merged")
        transformers.AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path / "merged")
    keys = {**KEYS, "adapter": {"path": str(adapter), "merge": True}}
    made = hfspec.compile(write_spec(tmp_path / "s", source, **keys, convert=FP32), output=tmp_path / "out", run=False)
    assert [one.role for one in made.manifest.sources] == ["model", "adapter"]
    expected = [text for text, _ in genai_models.greedy(tmp_path / "merged", PROMPTS, NEW)]
    assert hfspec.load(made.path).predict(PROMPTS) == expected
    assert expected != [text for text, _ in genai_models.greedy(source, PROMPTS, NEW)]


def test_what_the_builder_cannot_build_is_told_in_its_words(checkpoint, in_process, tmp_path):
    """A Phi-3 whose positions were stretched without a rule for it."""
    said = str(refusal(write_spec(tmp_path, checkpoint("phi3-chat"), task="text-generation", convert=FP32)))
    assert "the model builder of onnxruntime-genai makes no model of the checkpoint: " in said
    assert "spec.yaml:5:1: convert" in said


def test_a_plan_shows_it_and_takes_no_weights(source, tmp_path):
    from hfspec.report.plan import render

    plan = hfspec.plan(write_spec(tmp_path, source, **KEYS, convert={**FP32, "precision": "int4"}))
    said = render(plan, "text")
    assert "onnxruntime-genai, int4, cpu" in said
    assert "files to convert" in said
    assert json.loads(render(plan, "json"))["conversion"]["precision"] == "int4"
    assert {line.partition("==")[0] for line in plan.requirements} >= {"onnxruntime-genai", "tokenizers"}
    assert "torch" not in " ".join(plan.requirements)


def test_a_lock_holds_the_builders_versions(source, tmp_path):
    spec = write_spec(tmp_path, source, **KEYS, convert=FP32)
    locked = hfspec.lock(spec).lock
    assert hfspec.plan(spec, locked=True).conversion is not None
    assert {"onnx-ir", "torch", "transformers", "tokenizers", "python"} <= set(locked.versions)


def _beams(folder):
    change_json(folder / "generation_config.json", num_beams=40)


def _quantised(folder):
    change_json(folder / "config.json", quantization_config={"quant_method": "fp8"})


@pytest.mark.parametrize(
    ("change", "keys", "expected"),
    [
        (_beams, {}, "generation_config.json: onnxruntime-genai cannot take its num_beams"),
        (_quantised, {}, "the checkpoint is quantised already"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), {}, "tokenizer"),
        (lambda folder: (folder / "model.safetensors").unlink(), {}, "weights"),
        (None, {"dtype": "bfloat16"}, "`convert` has a precision of its own"),
        (None, {"save_mode": "reference"}, "no reference to the model's source can stand for"),
        (None, {"adapter": {"path": "x"}}, "`merge: true`"),
        (None, {"model_config": {"min_p": 0.1}}, "has no setting `min_p`"),
        (None, {"runtime": {"device": "cuda"}}, "made to run on a CPU"),
        (None, {"task": "feature-extraction", "model_config": {}}, "has no task 'feature-extraction'"),
        (None, {"convert": {"to": "onnxruntime-genai"}}, "The key `precision` is missing"),
        (None, {"convert": {**FP32, "precision": "int8"}}, "one of fp16, fp32, int4"),
    ],
)
def test_what_cannot_be_converted(source, tmp_path, change, keys, expected):
    model = Path(shutil.copytree(source, tmp_path / "model"))
    if change is not None:
        change(model)
    with pytest.raises(hfspec.HfspecError) as caught:
        hfspec.plan(write_spec(tmp_path / "s", model, **{**KEYS, "convert": FP32, **keys}))
    assert expected in str(caught.value)


def test_an_architecture_that_the_builder_does_not_know_is_told_with_those_it_does(checkpoint, tmp_path):
    spec = write_spec(tmp_path, checkpoint("gpt2"), convert=FP32)
    with pytest.raises(hfspec.SpecError, match="does not know the checkpoint's architecture") as caught:
        hfspec.plan(spec)
    assert "LlamaForCausalLM, " in str(caught.value)
    assert "found GPT2LMHeadModel" in str(caught.value)


def test_what_is_not_installed_is_told_with_the_way_to_install_it(source, tmp_path, monkeypatch):
    monkeypatch.setitem(conversion.NEEDED, "onnx-ir", "no_such_module")
    with pytest.raises(hfspec.SpecError, match=r"needs onnx-ir, not installed here.*hfspec\[genai-build\]"):
        hfspec.plan(write_spec(tmp_path, source, **KEYS, convert=FP32))


def test_what_the_builder_raises_is_told_in_words(source, tmp_path, monkeypatch):
    """Its program ends with a line of JSON; whatever else it does, nothing is left behind."""
    fails = tmp_path / "fails.py"
    monkeypatch.setattr(building, "__file__", str(fails))
    for text, expected in (
        ("raise SystemExit(3)", "it ended with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended by signal 9"),
        ("import sys; print('x'); sys.exit('Traceback\\nKeyError: 1')", "KeyError: 1"),
    ):
        fails.write_text(text)
        assert expected in str(refusal(write_spec(tmp_path / "s", source, **KEYS, convert=FP32)))


def test_the_program_says_why_the_builder_fails(tmp_path, capsys):
    assert building.main([str(tmp_path / "none"), str(tmp_path / "out"), "fp32", "cpu", str(tmp_path / "cache")]) == 1
    said = json.loads(capsys.readouterr().err.splitlines()[-1])
    assert set(said) == {"kind", "message"}
