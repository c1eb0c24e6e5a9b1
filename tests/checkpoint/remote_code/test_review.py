"""Code of a checkpoint's own at plan time: exactly the reviewed files, and never a line of it run."""

from __future__ import annotations

import json

import pytest
from ruamel.yaml import YAML

import hfspec
from hfspec.report.problems import render
from tests.checkpoint.remote_code.conftest import TASKS, spec_over
from tests.checkpoints.reviewed import reviewed
from tests.compiling import write_spec

MODEL = ["configuration_tiny.py", "layers_tiny.py", "modeling_tiny.py", "numbers_tiny.py"]


def problems(spec):
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(spec)
    return caught.value.problems


def edited(path, **keys):
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


@pytest.mark.parametrize(("name", "files"), [("coded-sentiment", MODEL), ("coded-tokenizer", ["tokenization_tiny.py"])])
def test_the_list_to_paste_is_the_list_that_works(name, files, checkpoint, tmp_path):
    model = checkpoint(name)
    spec = spec_over(tmp_path, model, trust_remote_code=False)
    (found,) = problems(spec)
    assert (found.code, found.path) == ("remote-code", ("trust_remote_code",))
    lines = [line.removeprefix("    ") for line in render([found]).splitlines()]
    assert lines[2].startswith("Read these files first")
    pasted = YAML(typ="safe", pure=True).load("\n".join(lines[3:]))
    assert pasted == {"trust_remote_code": reviewed(model, *files)}
    plan = hfspec.plan(spec_over(tmp_path, model, **pasted))
    assert [step.target for step in plan.steps if step.target.endswith(".py")] == [f"model/{file}" for file in files]


@pytest.mark.parametrize("name", TASKS)
def test_code_is_never_run_by_the_compiler(name, own_copy, tmp_path):
    """Code that writes a file when it is imported, listed as reviewed: only loading may run it."""
    model, canary = own_copy(name), tmp_path / "canary"
    for path in model.glob("*.py"):
        path.write_text(f"import pathlib\npathlib.Path({str(canary)!r}).touch()\n{path.read_text()}")
    spec = spec_over(tmp_path / "specs", model)
    assert hfspec.validate(spec) == ()
    hfspec.plan(spec)
    hfspec.lock(spec)
    hfspec.check_lock(spec)
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    hfspec.verify(artifact.path)
    with pytest.raises(hfspec.UsageError, match=r"model/\w+_tiny.py  sha256 [0-9a-f]{64}"):
        hfspec.load(artifact.path)
    assert not canary.exists()
    hfspec.load(artifact.path, trust_remote_code=True)
    assert canary.exists()


def test_everything_wrong_with_the_list_at_once(own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    listed = reviewed(model, "configuration_tiny.py", "layers_tiny.py", "modeling_tiny.py")
    (model / "layers_tiny.py").write_text((model / "layers_tiny.py").read_text() + "# one more line\n")
    (model / "unused.py").write_text("X = 1\n")
    listed += [*reviewed(model, "unused.py"), {"path": "absent.py", "sha256": "0" * 64}]
    found = {problem.path: problem for problem in problems(spec_over(tmp_path, model, trust_remote_code=listed))}
    key = "trust_remote_code"
    assert set(found) == {(key,), (key, 1, "sha256"), (key, 3), (key, 4)}
    assert "numbers_tiny.py" in found[key,].message
    assert reviewed(model, "numbers_tiny.py")[0]["sha256"] in found[key,].remedy
    changed = found[key, 1, "sha256"]
    assert (changed.expected, changed.found) == (listed[1]["sha256"], reviewed(model, "layers_tiny.py")[0]["sha256"])
    assert "does not use" in found[key, 3].message
    assert "not a Python file" in found[key, 4].message


def test_code_that_the_library_does_without_is_left_out(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    (model / "modeling_own.py").write_text("raise SystemExit('run')\n")
    edited(model / "config.json", auto_map={"AutoModelForSequenceClassification": "modeling_own.Own"})
    plan = hfspec.plan(write_spec(tmp_path, model))
    assert plan.code == {}
    assert not [step for step in plan.steps if step.target.endswith(".py")]
    (found,) = problems(write_spec(tmp_path, model, trust_remote_code=[{"path": "other.py", "sha256": "0" * 64}]))
    assert "not a Python file" in found.message
    assert hfspec.plan(write_spec(tmp_path, model, trust_remote_code=reviewed(model))).code == {
        "model": "model/modeling_own.py:Own"
    }


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("owner/repo--modeling_tiny.TinyForSequenceClassification", "another repository"),
        ("../modeling_tiny.Tiny", "no class in a file beside it"),
        ("os.path.join", "no class in a file beside it"),
        ("modeling_absent.Tiny", "does not have"),
        (7, "no class in a file beside it"),
    ],
)
def test_entries_that_lead_elsewhere(entry, said, own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    auto_map = {"AutoConfig": "configuration_tiny.TinyConfig", "AutoModelForSequenceClassification": entry}
    edited(model / "config.json", auto_map=auto_map)
    for listed in (False, reviewed(model)):
        found = problems(spec_over(tmp_path, model, trust_remote_code=listed))
        assert [problem for problem in found if said in problem.message], found


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("from .absent import X\n", "from .absent import X"),
        ("from ..outside import X\n", "from ..outside import X"),
        ("from . import absent\n", "from . import absent"),
        ("import a_package_that_nobody_has\n", "a_package_that_nobody_has"),
        ("def broken(:\n", "not Python"),
        ("x = '\0'\n", "not Python"),
        ("(" * 10_000, "not Python"),
    ],
)
def test_imports_that_cannot_be_followed(source, said, own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    with (model / "numbers_tiny.py").open("a") as file:
        file.write(source)
    found = problems(spec_over(tmp_path, model))
    assert [problem for problem in found if said in f"{problem.message} {problem.found}"], found


@pytest.mark.parametrize(
    "source",
    [
        "try:\n    import a_package_that_nobody_has\nexcept ImportError:\n    pass\n",
        "try:\n    from .absent import X\nexcept ImportError:\n    pass\n",
        "if is_flash_attn_2_available():\n    import a_package_that_nobody_has\n",
        "import json, os.path\nfrom collections import abc\n",
    ],
)
def test_imports_that_the_code_does_without(source, own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    with (model / "numbers_tiny.py").open("a") as file:
        file.write(source)
    assert hfspec.plan(spec_over(tmp_path, model)).code


def test_packages_that_the_code_imports_are_required(own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    with (model / "numbers_tiny.py").open("a") as file:
        file.write("import yaml\nimport numpy\n")
    names = [line.partition("==")[0].lower() for line in hfspec.plan(spec_over(tmp_path, model)).requirements]
    assert "pyyaml" in names
    assert len(names) == len(set(names))


def test_a_task_that_the_code_has_no_class_for(checkpoint, tmp_path):
    found = problems(spec_over(tmp_path, checkpoint("coded-sentiment"), task="text-generation"))
    task = next(problem for problem in found if problem.path == ("task",))
    assert "AutoModelForCausalLM" in task.expected
    assert "AutoModelForSequenceClassification" in task.found


def test_trusting_everything_is_refused_with_what_to_write(checkpoint, tmp_path):
    for word in (True, "yes"):
        spec = spec_over(tmp_path, checkpoint("coded-sentiment"), trust_remote_code=word)
        (found,) = hfspec.validate(spec)
        assert "sha256" in found.remedy


def test_the_rest_of_the_checkpoint_is_still_looked_at(own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    edited(model / "config.json", attn_implementation="owner/kernel")
    found = problems(spec_over(tmp_path, model))
    assert "downloads a kernel" in found[0].message


def test_a_cast_casts_everything_and_says_so(checkpoint, tmp_path):
    plan = hfspec.plan(spec_over(tmp_path, checkpoint("coded-sentiment"), dtype="bfloat16"))
    (weights,) = [step for step in plan.steps if step.target == "model/model.safetensors"]
    assert {tensor.dtype for tensor in weights.tensors} == {"BF16"}
    assert [note for note in plan.notes if "keeps in float32" in note]
    assert [note for note in plan.notes if "shapes of tensors are not checked" in note]


def test_the_lock_lists_code_and_tells_of_new_code(own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    spec = spec_over(tmp_path / "specs", model)
    locked = hfspec.lock(spec).lock.source("model")
    assert [file.path for file in locked.files if file.path.endswith(".py")] == MODEL
    held = (spec.parent / "spec.yaml.lock").read_bytes()
    with (model / "numbers_tiny.py").open("a") as file:
        file.write("from .more_tiny import MORE\n")
    (model / "more_tiny.py").write_text("MORE = 1\n")
    spec_over(tmp_path / "specs", model)
    messages = [change.message for change in hfspec.check_lock(spec)]
    assert [message for message in messages if "more_tiny.py: a new code file" in message]
    assert [message for message in messages if "numbers_tiny.py: other bytes" in message]
    hfspec.lock(spec)
    (tmp_path / "old.lock").write_bytes(held)
    found = hfspec.diff(tmp_path / "old.lock", spec.parent / "spec.yaml.lock")
    code = {change.key: change.kind for change in found if change.group == "code files"}
    assert code == {"model/more_tiny.py": "added", "model/numbers_tiny.py": "changed"}


def test_reference_artifacts_carry_their_code(own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    made = hfspec.compile(spec_over(tmp_path / "specs", model, save_mode="reference"), output=tmp_path / "artifact")
    names = [record.path for record in made.manifest.files if record.path.startswith("model/")]
    assert [f"model/{name}" for name in MODEL] == [name for name in names if name.endswith(".py")]
    assert not [name for name in names if name.endswith(".safetensors")]
    predictor = hfspec.load(made.path, trust_remote_code=True, sources={"model": model})
    full = hfspec.compile(spec_over(tmp_path / "specs", model), output=tmp_path / "full")
    wanted = hfspec.load(full.path, trust_remote_code=True).predict(["a fine film"])
    assert predictor.predict(["a fine film"]).equals(wanted)
