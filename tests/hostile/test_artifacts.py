"""Artifacts whose digests are right and whose files mean harm: refused or answered, and nothing of theirs is run."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import hfspec
from hfspec.ir.artifact import Manifest
from hfspec.ir.frozen import FrozenDict
from tests.compiling import write_spec
from tests.hostile.sealing import sealed

PLANTED = "import pathlib\npathlib.Path({canary!r}).touch()\nfrom transformers import BertConfig as C, BertModel as M\n"
JINJA = "{{{{ cycler.__init__.__globals__.os.system('touch {canary}') }}}}"


def edited(path: Path, **keys: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A file that planted code makes; such code can be imported as the module ``planted`` too."""
    place = tmp_path / "canary"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "planted.py").write_text(PLANTED.format(canary=str(place)))
    monkeypatch.syspath_prepend(tmp_path / "site")
    yield place
    assert not place.exists()


def refused(folder: Path, name: str, *, fault: str) -> None:
    with pytest.raises(hfspec.VerificationError, match=fault) as caught:
        hfspec.load(folder)
    assert caught.value.files == (name,)
    with pytest.raises(hfspec.VerificationError, match=fault):
        hfspec.load(folder, verify=False)


@pytest.mark.parametrize(
    "keys",
    [
        {"_attn_implementation": "kernels-community/flash-attn2"},
        {"_attn_implementation_internal": "owner/kernel"},
        {"attn_implementation": {"": "owner/kernel"}},
        {"text_config": {"_attn_implementation": "owner/kernel@main"}},
        {"experts_implementation": "owner/kernel"},
        {"attn_implementation": "flash_attention_2"},
        {"transformers_weights": "../../elsewhere.safetensors"},
        {"activation_function": "torch.utils.collect_env.main"},
        {"n_layers": 10**9},
        {"text_config": [{"depths": [10**9]}]},
        {"num_labels": 1e300},
    ],
    ids=str,
)
def test_settings_that_fetch_code_or_read_elsewhere(keys, artifact):
    edited(artifact / "model/config.json", **keys)
    refused(sealed(artifact), "model/config.json", fault="which")


@pytest.mark.parametrize(
    "name", ["model/Config.JSON", "Model/config.json", "model/con\N{LATIN SMALL LIGATURE FI}g.json"]
)
def test_names_that_are_one_where_a_disk_knows_no_case(name, artifact):
    edited(artifact / "model/config.json", _attn_implementation="owner/kernel")
    (artifact / name).parent.mkdir(exist_ok=True)
    (artifact / "model/config.json").rename(artifact / name)
    refused(sealed(artifact), name, fault="fetches and runs")


@pytest.mark.parametrize("section", ["model_args", "model_kwargs", "config_kwargs"])
def test_options_that_a_module_hands_on(section, copied):
    folder = copied("minilm-like")
    edited(folder / "model/sentence_bert_config.json", **{section: {"attn_implementation": "owner/kernel"}})
    refused(sealed(folder), "model/sentence_bert_config.json", fault="fetches and runs")


FORGED = {
    "a file outside": lambda pointer: {"files": (replace(pointer.files[0], path="../../x.safetensors"),)},
    "an absolute file": lambda pointer: {"files": (replace(pointer.files[0], path="/x.safetensors"),)},
    "a file that is no weights": lambda pointer: {"files": (replace(pointer.files[0], path="config.json"),)},
    "written outside": lambda pointer: {"written": (replace(pointer.written[0], path="../../x.safetensors"),)},
    "code written": lambda pointer: {"written": (replace(pointer.written[0], path="planted.py"),)},
    "a dtype that is none": lambda pointer: {
        "written": (replace(pointer.written[0], tensors=FrozenDict(dict.fromkeys(pointer.written[0].tensors, "X9"))),)
    },
    "a folder outside": lambda pointer: {"folder": "../"},
    "a role of nowhere": lambda pointer: {"role": "../x"},
}


@pytest.fixture(scope="module")
def pointing(shared_folder, checkpoint):
    """A reference artifact whose weights are cast when they are needed."""
    spec = write_spec(shared_folder / "pointing", checkpoint("bert-sentiment"))
    return hfspec.compile(spec, shared_folder / "pointing" / "artifact", ["save_mode=reference", "dtype=float16"]).path


def pointing_elsewhere(folder, place, change):
    """A copy of the artifact, its manifest changed, and its digest right."""
    place = Path(shutil.copytree(folder, place / "in" / "artifact"))
    manifest = Manifest.from_bytes((place / "artifact.json").read_bytes())
    (place / "artifact.json").write_bytes(change(manifest).to_bytes())
    return place


def refused_as_a_reference(folder, checkpoint):
    sources = {"model": checkpoint("bert-sentiment")}
    for use in (
        hfspec.verify,
        partial(hfspec.load, verify=False),
        hfspec.load,
        partial(hfspec.persist, sources=sources),
    ):
        with pytest.raises(hfspec.VerificationError, match="unsafe paths"):
            use(folder)
    assert [path.name for path in folder.parent.parent.iterdir()] == ["in"]


@pytest.mark.parametrize("name", FORGED)
def test_pointers_that_lead_elsewhere(name, pointing, checkpoint, tmp_path):
    def change(manifest):
        (pointer,) = manifest.pointers
        return replace(manifest, pointers=(replace(pointer, **FORGED[name](pointer)),))

    refused_as_a_reference(pointing_elsewhere(pointing, tmp_path / "place", change), checkpoint)


def test_weights_in_the_place_of_others(pointing, checkpoint, tmp_path):
    """They would be written through the link to the others, in a cache or a folder of somebody's."""

    def change(manifest):
        (pointer,) = manifest.pointers
        other = replace(pointer, files=(replace(pointer.files[0], path="other.safetensors"),))
        return replace(manifest, pointers=(pointer, other))

    refused_as_a_reference(pointing_elsewhere(pointing, tmp_path / "place", change), checkpoint)


@pytest.mark.parametrize(("location", "commit"), [("../../x", "a" * 40), ("a/b", "main"), ("a/b", "../" * 13 + "x")])
def test_pointers_to_no_commit_of_a_repository(location, commit, pointing, checkpoint, tmp_path):
    def change(manifest):
        (source,) = manifest.sources
        return replace(manifest, sources=(replace(source, kind="repo", location=location, commit=commit),))

    refused_as_a_reference(pointing_elsewhere(pointing, tmp_path / "place", change), checkpoint)


def test_json_of_gigabytes(artifact, monkeypatch):
    """Not read whole: the digest of so large a file is not what is tested, so the limit is lowered."""
    monkeypatch.setattr("hfspec.integrity.trust.LARGEST", 100)
    with pytest.raises(hfspec.VerificationError, match="is read whole up to 100 bytes"):
        hfspec.load(artifact)


@pytest.mark.parametrize("name", ["pipeline", "AutoModelForSequenceClassification", "AutoTokenizer", "utils", "a.b"])
def test_a_model_class_that_is_none(name, artifact):
    folder = sealed(artifact, lambda found: replace(found, deployment=replace(found.deployment, model_class=name)))
    refused(folder, "artifact.json", fault=name)


@pytest.mark.parametrize(
    "values",
    [{"dtype": "nonsense"}, {"dtype": "float32.__class__"}, {"dtype": "nn"}, {"outputs": "nonsense"}]
    + [{"prompt_template": template} for template in ("no slot", "{prompt", "{prompt.x}")],
    ids=str,
)
def test_values_that_mean_nothing(values, artifact):
    """Of the right type, with the right digests, and yet no decision that a plan makes."""
    folder = sealed(artifact, lambda found: replace(found, deployment=replace(found.deployment, **values)))
    refused(folder, "artifact.json", fault="prompt template" if "prompt_template" in values else values.popitem()[1])


@pytest.mark.parametrize(
    "options", [{"trust_remote_code": True}, {"subfolder": "../../.."}, {"vocab_file": "/x"}], ids=str
)
def test_options_that_say_where_to_load_from(options, artifact):
    given = FrozenDict({"tokenizer": options})
    folder = sealed(artifact, lambda found: replace(found, deployment=replace(found.deployment, options=given)))
    refused(folder, "artifact.json", fault=next(iter(options)))


def test_an_adapter_that_leads_to_another_model(artifact, canary):
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "/", "auto_mapping": {"parent_library": "planted"}}
    (artifact / "model/adapter_config.json").write_text(json.dumps(adapter))
    refused(sealed(artifact), "model/adapter_config.json", fault="adapter")


@pytest.mark.parametrize(
    "module",
    [{"type": "planted.M", "path": ""}, {"type": "os.path.M", "path": "9"}]
    + [{"type": "sentence_transformers.models.WordEmbeddings", "path": ""}]
    + [{"type": "sentence_transformers.models.Dense", "path": path} for path in ("../../elsewhere", "/etc")],
    ids=str,
)
def test_modules_that_are_foreign_code_or_lie_outside(module, copied, canary):
    folder = copied("minilm-like")
    modules = json.loads((folder / "model/modules.json").read_text())
    (folder / "model/modules.json").write_text(json.dumps([*modules, {"idx": 9, "name": "9", **module}]))
    refused(sealed(folder), "model/modules.json", fault="module")


def test_shards_that_lie_outside(artifact):
    (artifact / "model/model.safetensors").rename(artifact / "model/x.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "../../elsewhere.safetensors"}}
    (artifact / "model/model.safetensors.index.json").write_text(json.dumps(index))
    refused(sealed(artifact), "model/model.safetensors.index.json", fault="outside")


def test_code_that_nobody_has_listed(artifact, canary):
    (artifact / "model/planted.py").write_text(PLANTED.format(canary=str(canary)))
    classes = {"AutoConfig": "planted.C", "AutoModel": "planted.M", "AutoModelForSequenceClassification": "planted.M"}
    edited(artifact / "model/config.json", auto_map=classes)
    refused(sealed(artifact), "model/planted.py", fault="not list as reviewed")


def test_code_that_the_manifest_names_itself(artifact, canary):
    """An attacker can write a whole manifest; what he cannot write is the consent of who loads it."""
    (artifact / "model/planted.py").write_text(PLANTED.format(canary=str(canary)))
    code = FrozenDict({"config": "model/planted.py:C", "model": "model/planted.py:M"})
    folder = sealed(artifact, lambda found: replace(found, code=code))
    with pytest.raises(hfspec.UsageError, match=r"model/planted\.py  sha256 [0-9a-f]{64}"):
        hfspec.load(folder)
    with pytest.raises(hfspec.UsageError, match="trust_remote_code=True"):
        hfspec.load(folder, verify=False)


@pytest.mark.parametrize("name", ["planted.pyc", "planted.so", "sub/planted.PY", "__pycache__/planted.cpython-311.pyc"])
def test_files_that_python_would_import(name, artifact):
    path = artifact / "model" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"")
    refused(sealed(artifact), f"model/{name}", fault="a file of code")


@pytest.mark.parametrize("name", ["pipeline", "AutoConfig", "BertModel", "AutoModelForSequenceClassification"])
def test_a_tokenizer_class_that_is_none(name, artifact, canary):
    edited(artifact / "model/tokenizer_config.json", tokenizer_class=name)
    with pytest.raises(hfspec.StorageError, match="tokenizer"):
        hfspec.load(sealed(artifact))


@pytest.mark.parametrize("prompts", ["text", ["a"], {"query": {"x": 1}}], ids=str)
def test_prompts_that_are_none(prompts, copied):
    folder = copied("minilm-like")
    edited(folder / "model/config_sentence_transformers.json", prompts=prompts)
    with pytest.raises(hfspec.StorageError, match="prompts"):
        hfspec.load(sealed(folder))


def test_a_chat_template_that_leaves_its_sandbox(copied, canary):
    folder = copied("gpt2")
    edited(folder / "model/tokenizer_config.json", chat_template=JINJA.format(canary=canary))
    predictor = hfspec.load(sealed(folder))
    with pytest.raises(hfspec.InputError, match="unsafe"):
        predictor.predict([{"role": "user", "content": "hello"}])


def test_pickled_weights(artifact, canary):
    class Planted:
        def __reduce__(self):
            return os.system, (f"touch {canary}",)

    (artifact / "model/model.safetensors").unlink()
    (artifact / "model/pytorch_model.bin").write_bytes(pickle.dumps(Planted()))
    with pytest.raises(hfspec.StorageError, match=r"model\.safetensors"):
        hfspec.load(sealed(artifact))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"[" * 100_000),
        ("config.json", b"[]"),
        ("config.json", b"\xff"),
        ("tokenizer.json", b"{}"),
        ("model.safetensors", b""),
        ("model.safetensors", b"\xff" * 64),
        ("generation_config.json", b'{"watermarking_config": {"x": 1}}'),
    ],
)
def test_broken_files_are_one_plain_error(name, content, copied):
    folder = copied("gpt2")
    (folder / "model" / name).write_bytes(content)
    with pytest.raises(hfspec.StorageError, match=r"in model/ could not be loaded"):
        hfspec.load(sealed(folder))


def test_the_compiler_refuses_other_weights_too(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    edited(model / "config.json", transformers_weights="other.safetensors")
    with pytest.raises(hfspec.SpecError, match="transformers_weights"):
        hfspec.plan(write_spec(tmp_path / "s", model))


def test_an_adapter_beside_a_model_is_left_out(own_copy, tmp_path):
    model = own_copy("bert-sentiment")
    (model / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    plan = hfspec.plan(write_spec(tmp_path / "s", model))
    assert not [step for step in plan.steps if "adapter" in step.target]
    assert any("adapter_config.json" in note for note in plan.notes)
