"""Reviewed code at load: only with consent, only the verified bytes, and the answers that the library itself gives."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import hfspec
from hfspec.ir.artifact import Manifest
from hfspec.ir.frozen import FrozenDict
from hfspec.runtime.command import main
from tests.checkpoint.remote_code.conftest import spec_over
from tests.hostile.sealing import sealed

TEXTS = ["a fine film", "the movie was not very good and so on", "bad", "a fine film"]


@pytest.fixture
def upstream(monkeypatch, tmp_path):
    """The library with trust_remote_code=True, and a cache for the code of its own."""
    from transformers import dynamic_module_utils

    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    yield {"trust_remote_code": True, "local_files_only": True}
    sys.path[:] = [place for place in sys.path if place != str(tmp_path / "modules")]
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers_modules"]:
        if ".reviewed_" not in name:
            del sys.modules[name]


@pytest.mark.parametrize("name", ["coded-sentiment", "coded-tokenizer"])
def test_classification_equals_the_library(name, compiled, checkpoint, upstream):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint(name), **upstream)
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint(name), **upstream).eval()
    with torch.inference_mode():
        scores = [model(**words(text, return_tensors="pt")).logits.softmax(-1)[0] for text in TEXTS]
    answer = hfspec.load(compiled(name).path, trust_remote_code=True).predict(TEXTS)
    assert list(answer["label"]) == [model.config.id2label[int(row.argmax())] for row in scores]
    np.testing.assert_allclose(answer["score"], [float(row.max()) for row in scores], rtol=1e-5)


def test_generation_equals_the_library(compiled, checkpoint, upstream):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = checkpoint("coded-writer")
    words = AutoTokenizer.from_pretrained(folder, **upstream)
    model = AutoModelForCausalLM.from_pretrained(folder, **upstream).eval()
    with torch.inference_mode():
        read = [words(text, return_tensors="pt")["input_ids"] for text in TEXTS]
        made = [model.generate(ids, max_new_tokens=8, do_sample=False) for ids in read]
    wanted = [words.decode(ids[0, len(begun[0]) :]) for ids, begun in zip(made, read, strict=True)]
    settings = {"max_new_tokens": 8, "return_full_text": False}
    predictor = hfspec.load(compiled("coded-writer").path, trust_remote_code=True, model_config=settings)
    assert predictor.predict(TEXTS) == wanted


def test_features_equal_the_library(compiled, checkpoint, upstream):
    import torch
    from transformers import AutoModel, AutoTokenizer

    words = AutoTokenizer.from_pretrained(checkpoint("coded-features"), **upstream)
    model = AutoModel.from_pretrained(checkpoint("coded-features"), **upstream).eval()
    answer = hfspec.load(compiled("coded-features").path, trust_remote_code=True).predict(TEXTS)
    with torch.inference_mode():
        for text, states in zip(TEXTS, answer, strict=True):
            wanted = model(**words(text, return_tensors="pt")).last_hidden_state[0]
            np.testing.assert_allclose(states, wanted, rtol=1e-5, atol=1e-6)


def test_sentence_embeddings_equal_the_library(compiled, checkpoint, upstream):
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(checkpoint("coded-embedder")), device="cpu", **upstream)
    answer = hfspec.load(compiled("coded-embedder").path, trust_remote_code=True).predict(TEXTS)
    wanted = np.stack([model.encode(text) for text in TEXTS])
    np.testing.assert_allclose(answer, wanted, rtol=1e-5, atol=1e-6)


def test_other_code_is_another_embedding_space(compiled, own_copy, tmp_path):
    model = own_copy("coded-embedder")
    with (model / "numbers_tiny.py").open("a") as file:
        file.write("SHIFT = 0.5\n")
    other = hfspec.compile(spec_over(tmp_path, model), output=tmp_path / "other")
    assert other.manifest.space != compiled("coded-embedder").manifest.space


def test_changed_code_is_not_run(copied, tmp_path):
    """With verification and without: the bytes that run are those that the manifest vouches for."""
    folder, canary = copied("coded-sentiment"), tmp_path / "canary"
    with (folder / "model/numbers_tiny.py").open("a") as file:
        file.write(f"open({str(canary)!r}, 'w')\n")
    for verify in (True, False):
        with pytest.raises(hfspec.VerificationError, match=r"numbers_tiny\.py"):
            hfspec.load(folder, trust_remote_code=True, verify=verify)
    assert not canary.exists()


def test_no_cache_is_read_or_written(copied, tmp_path):
    """Poisoned copies of the code in the library's cache of modules, and poisoned byte code beside the files."""
    folder, canary = copied("coded-sentiment"), tmp_path / "canary"
    cache = tmp_path / "modules/transformers_modules/model"
    cache.mkdir(parents=True)
    for name in ("configuration_tiny", "modeling_tiny", "numbers_tiny", "layers_tiny", "__init__"):
        (cache / f"{name}.py").write_text(f"open({str(canary)!r}, 'w')\n")
    before = {path: path.read_bytes() for path in (tmp_path / "modules").rglob("*") if path.is_file()}
    code = (
        "import sys, hfspec\n"
        f"sys.path.append({str(cache.parent.parent)!r})\n"
        f"print(list(hfspec.load({str(folder)!r}, trust_remote_code=True).predict(['a fine film'])['label']))\n"
    )
    environment = {
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "PATH": "",
        "PYTHONPATH": ":".join(filter(None, sys.path)),
    }
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert not canary.exists()
    assert before == {path: path.read_bytes() for path in (tmp_path / "modules").rglob("*") if path.is_file()}
    hfspec.verify(folder)


def test_two_versions_of_one_code_side_by_side(compiled, own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    with (model / "numbers_tiny.py").open("a") as file:
        file.write("SHIFT = 0.9\n")
    other = hfspec.compile(spec_over(tmp_path, model), output=tmp_path / "other")
    first, second = (
        hfspec.load(place, trust_remote_code=True) for place in (compiled("coded-sentiment").path, other.path)
    )
    again = hfspec.load(compiled("coded-sentiment").path, trust_remote_code=True)
    scores = [float(predictor.predict(["a fine film"])["score"][0]) for predictor in (first, second, again)]
    assert scores[0] == scores[2] != scores[1]
    found = hfspec.diff(compiled("coded-sentiment").path, other.path)
    assert [change.key for change in found if change.group == "code files"] == ["model/numbers_tiny.py"]


def test_code_that_fails_to_import_is_one_plain_error(own_copy, tmp_path):
    model = own_copy("coded-sentiment")
    with (model / "numbers_tiny.py").open("a") as file:
        file.write("import importlib\nimportlib.import_module('.absent', __package__)\n")
    artifact = hfspec.compile(spec_over(tmp_path, model), output=tmp_path / "artifact")
    with pytest.raises(hfspec.StorageError, match=r"modeling_tiny\.py could not be imported: .*absent") as caught:
        hfspec.load(artifact.path, trust_remote_code=True)
    assert "reviewed_" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ({"model": "model/numbers_tiny.py:SHIFT"}, "is not a class"),
        ({"model": "model/modeling_tiny.py:Twist"}, "is not a model"),
        ({"model": "model/modeling_tiny.py:Absent"}, "could not be imported"),
        ({"model": "code/hfspec/runtime/load.py:Any"}, "names no class"),
        ({"model": "model/../model/modeling_tiny.py:TinyModel"}, "names no class"),
        ({"model": "model/absent.py:X"}, "names no class"),
        ({"model": 7}, "names no class"),
        ({"harm": "model/modeling_tiny.py:TinyModel"}, "names no class"),
    ],
)
def test_manifests_that_name_other_code(code, said, copied):
    folder = sealed(copied("coded-sentiment"), lambda manifest: replace(manifest, code=FrozenDict(code)))
    with pytest.raises((hfspec.StorageError, hfspec.VerificationError), match=said):
        hfspec.load(folder, trust_remote_code=True)


def test_an_artifact_says_which_code_it_runs(compiled):
    manifest = Manifest.from_bytes((compiled("coded-sentiment").path / "artifact.json").read_bytes())
    assert manifest.code == {
        "config": "model/configuration_tiny.py:TinyConfig",
        "model": "model/modeling_tiny.py:TinyForSequenceClassification",
    }


def test_consent_on_the_command_line(compiled, capsys):
    folder = compiled("coded-sentiment").path
    assert main(folder, ["a fine film"], trusted=False) == 2
    assert "--trust-remote-code" in capsys.readouterr().err
    assert main(folder, ["--trust-remote-code", "a fine film"], trusted=False) == 0
    assert json.loads(capsys.readouterr().out)[0]["label"]


def test_mlflow_asks_nobody(compiled):
    from hfspec.runtime.mlflow_model import _load_pyfunc

    folder = str(compiled("coded-sentiment").path)
    assert len(_load_pyfunc(folder).predict(["a fine film"])) == 1
    with pytest.raises(hfspec.UsageError, match="trust_remote_code"):
        _load_pyfunc(folder, {"trust_remote_code": False})


def test_the_trial_runs_reviewed_code(own_copy, tmp_path):
    model, canary = own_copy("coded-sentiment"), tmp_path / "canary"
    with (model / "numbers_tiny.py").open("a") as file:
        file.write(f"open({str(canary)!r}, 'w')\n")
    spec = spec_over(tmp_path / "specs", model, input_example=["a fine film"])
    hfspec.compile(spec, output=tmp_path / "unrun", run=False)
    assert not canary.exists()
    hfspec.compile(spec, output=tmp_path / "run")
    assert canary.exists()


def test_golden_examples_of_reviewed_code(checkpoint, tmp_path):
    text = "a fine film"
    wanted = [{"label": "bad", "score": 0.434}]
    spec = spec_over(
        tmp_path, checkpoint("coded-sentiment"), golden=[{"input": text, "output": wanted, "tolerance": 1e-3}]
    )
    artifact = hfspec.compile(spec, output=tmp_path / "artifact")
    with pytest.raises(hfspec.UsageError, match="trust_remote_code"):
        hfspec.verify(artifact.path, run=True)
    hfspec.verify(artifact.path, run=True, trust_remote_code=True)
