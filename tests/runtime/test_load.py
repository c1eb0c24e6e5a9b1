"""From a folder to a predictor: verified first, from anywhere, in the dtype asked for, importing only what it needs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from transformers.utils import logging

import hfspec
from hfspec.errors import InputError, UsageError, VerificationError
from hfspec.runtime.io.answers import to_json


def test_what_a_predictor_says_of_itself(artifact):
    predictor = hfspec.load(artifact("bert-sentiment"))
    assert predictor.task.name == "text-classification"
    assert predictor.manifest.deployment.model_class == "DistilBertForSequenceClassification"
    assert [column.name for column in predictor.signature.inputs] == ["text", "text_pair"]
    assert (predictor.dtype, predictor.device) == ("float32", "cpu")


def test_a_changed_byte_is_refused_before_anything_is_read(artifact, copy_of):
    folder = copy_of(artifact("bert-sentiment"))
    (folder / "model/config.json").write_text("{ this is not JSON")
    with pytest.raises(VerificationError, match=r"model/config\.json"):
        hfspec.load(folder)


def test_a_folder_that_is_no_artifact_is_refused(tmp_path):
    for verify in (True, False):
        with pytest.raises(VerificationError, match=r"artifact\.json"):
            hfspec.load(tmp_path, verify=verify)


def test_no_code_of_the_artifact_is_run(artifact, copy_of):
    folder = copy_of(artifact("bert-sentiment"))
    config = json.loads((folder / "model/config.json").read_text())
    config["auto_map"] = {"AutoModelForSequenceClassification": "evil.Model", "AutoConfig": "evil.Config"}
    (folder / "model/config.json").write_text(json.dumps(config))
    words = json.loads((folder / "model/tokenizer_config.json").read_text())
    words["auto_map"] = {"AutoTokenizer": ["evil.Words", None]}
    (folder / "model/tokenizer_config.json").write_text(json.dumps(words))
    for place in (folder, folder / "model", folder / "code"):
        place.mkdir(exist_ok=True)
        (place / "evil.py").write_text("raise SystemExit('the code of the artifact was run')")
    assert len(hfspec.load(folder, verify=False).predict("a")) == 1
    assert "evil" not in sys.modules


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_weights_can_be_cast_while_loading(artifact, dtype):
    import torch

    stored, cast = hfspec.load(artifact("minilm-like")), hfspec.load(artifact("minilm-like"), dtype=dtype)
    assert cast.dtype == dtype
    assert {str(weight.dtype) for weight in cast._runner.encoder.model.parameters()} == {f"torch.{dtype}"}
    texts = ["a fine film", "another"]
    mine, truth = cast.predict(texts), stored.predict(texts)
    assert mine.dtype == np.float32
    np.testing.assert_allclose(mine, truth, atol=float(torch.finfo(getattr(torch, dtype)).eps) * 10 + 1e-6)
    assert hfspec.load(artifact("minilm-like"), dtype="auto").dtype == "float32"
    assert f"feature-extraction, cast to {dtype} (the artifact: float32), cpu" in repr(cast)
    assert "feature-extraction, float32, cpu" in repr(stored)


def test_an_artifact_compiled_with_a_cast_answers_in_it(artifact):
    stored, cast = hfspec.load(artifact("minilm-like")), hfspec.load(artifact("minilm-like", dtype="bfloat16"))
    assert cast.dtype == "bfloat16"
    np.testing.assert_allclose(cast.predict("a fine film"), stored.predict("a fine film"), atol=0.05)
    np.testing.assert_allclose(
        cast.predict("a fine film"), hfspec.load(artifact("minilm-like"), dtype="bfloat16").predict("a fine film")
    )


@pytest.mark.parametrize("name", ["bert-sentiment", "minilm-like"])
def test_a_tokenizer_of_its_own_is_used_with_its_options(artifact, checkpoint, name):
    source = {"path": str(checkpoint("minilm-like")), "options": {"model_max_length": 6}}
    predictor = hfspec.load(artifact(name, components={"tokenizer": source}))
    text = "a fine film about a house"
    if name == "minilm-like":
        row = predictor.predict(text, outputs="full")[0]
        assert (row["tokens"], row["truncated"]) == (6, True)
    else:
        with pytest.raises(InputError, match="the model reads at most 6"):
            predictor.predict(text)


def test_calls_from_several_threads_do_not_mix(artifact):
    params = {"params": {"truncation": False}}
    predictor = hfspec.load(artifact("bert-sentiment", signature=params))
    short, long = ["a fine film", "another"], ["word " * 300] * 3

    def call(number):
        if number % 2:
            return predictor.predict_json(long, params={"truncation": True})
        return predictor.predict_json(short)

    truth = [call(0), call(1)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(80)))
    for number, answer in enumerate(answers):
        assert [row["label"] for row in answer] == [row["label"] for row in truth[number % 2]]
        expected = [row["score"] for row in truth[number % 2]]
        assert [row["score"] for row in answer] == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_used_is_refused(artifact):
    with pytest.raises(UsageError, match="dtype must be one of auto, float32"):
        hfspec.load(artifact("minilm-like"), dtype="int4")
    with pytest.raises(UsageError, match="device 'nonsense' cannot be used here"):
        hfspec.load(artifact("minilm-like"), device="nonsense")


def test_missing_weights_are_an_error_and_never_random(artifact, copy_of):
    from safetensors.torch import load_file, save_file

    folder = copy_of(artifact("bert-sentiment"))
    path = folder / "model/model.safetensors"
    weights = {name: tensor for name, tensor in load_file(path).items() if not name.startswith("classifier")}
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(UsageError, match=r"2 tensors are missing.*classifier"):
        hfspec.load(folder, verify=False)


def fresh(program, *arguments, cwd, **environment):
    """What a new interpreter prints, as JSON."""
    keep = {key: os.environ[key] for key in ("PATH", "HOME", "OMP_NUM_THREADS", "XDG_CACHE_HOME") if key in os.environ}
    command = [sys.executable, "-c", textwrap.dedent(program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env={**keep, **environment}, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_an_embedding_artifact_loads_neither_sentence_transformers_nor_pandas(artifact, tmp_path):
    program = """
        import json, sys
        import hfspec
        answer = hfspec.load(sys.argv[1]).predict(["a"])
        heavy = ("sentence_transformers", "pandas", "pydantic", "hydra")
        print(json.dumps([name for name in heavy if name in sys.modules]))
    """
    assert fresh(program, artifact("minilm-like"), cwd=tmp_path) == []


def test_the_command_needs_no_pandas_for_labels(artifact, tmp_path):
    program = """
        import json, sys
        from pathlib import Path
        from hfspec.runtime.command import main
        main(Path(sys.argv[1]), ["a"])
        assert "pandas" not in sys.modules and "transformers.pipelines" not in sys.modules
    """
    assert fresh(program, artifact("bert-sentiment"), cwd=tmp_path)[0]["label"] in {"POSITIVE", "NEGATIVE"}


ALONE = """
    import runpy, sys

    class Without:
        \"\"\"A finder that does not see the packages that the artifact must do without.\"\"\"

        names = {"pydantic", "hydra", "omegaconf", "jsonschema", "ruamel", "typer", "rich"}

        def __init__(self, finder):
            self.finder = finder

        def find_spec(self, name, path=None, target=None):
            spec = None if name.split(".")[0] in self.names else self.finder.find_spec(name, path, target)
            if spec is not None and name == "hfspec" and not spec.origin.startswith(folder):
                return None
            return spec

        def __getattr__(self, name):
            return getattr(self.finder, name)

    folder, *texts = sys.argv[1:]
    sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
    sys.argv = [folder + "/predictor.py", *texts]
    runpy.run_path(folder + "/predictor.py", run_name="__main__")
"""


@pytest.fixture
def read_only(artifact, copy_of):
    """``read_only(checkpoint_name)``: a copy of its artifact, moved, that nothing may be written into."""
    made = []

    def get(name):
        folder = copy_of(artifact(name), f"moved {name} ü")
        made.append(folder)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        return folder

    yield get
    for folder in made:
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o755)


@pytest.mark.parametrize("name", ["minilm-like", "bert-sentiment", "gpt2"])
def test_the_predictor_runs_by_itself_moved_and_read_only(artifact, read_only, tmp_path, name):
    """From another folder, without hfspec or any package that only the compiler needs."""
    folder = read_only(name)
    before = sorted(folder.rglob("*"))
    truth = to_json(hfspec.load(artifact(name)).predict(["a fine film", "another"]))
    answer = fresh(ALONE, folder, "a fine film", "another", cwd=tmp_path)
    assert sorted(folder.rglob("*")) == before
    if name == "minilm-like":
        np.testing.assert_allclose(answer, truth, atol=1e-6)
    elif name == "bert-sentiment":
        assert [row["label"] for row in answer] == [row["label"] for row in truth]
        assert [row["score"] for row in answer] == pytest.approx([row["score"] for row in truth], abs=1e-6)
    else:
        assert answer == truth


def test_threads_that_load_at_once_leave_warnings_as_they_were(artifact):
    folder, found = artifact("bert-sentiment"), list(warnings.filters)
    heard = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: hfspec.load(folder), range(6)))
    assert list(warnings.filters) == found
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == heard


def test_the_library_makes_one_model_at_a_time(artifact, checkpoint, tmp_path, monkeypatch):
    """While it makes one it replaces functions of the process, and two at once put back each other's."""
    from transformers import PreTrainedModel

    inside, most, made = [], [], PreTrainedModel.from_pretrained.__func__

    def watched(cls, *given, **settings):
        inside.append(cls)
        most.append(len(inside))
        try:
            return made(cls, *given, **settings)
        finally:
            inside.pop()

    folder, spec = artifact("bert-sentiment"), tmp_path / "spec.yaml"
    model = {"path": str(checkpoint("bert-sentiment"))}
    spec.write_text(
        json.dumps({"spec_version": 1, "library": "transformers", "task": "text-classification", "model": model})
    )
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", classmethod(watched))
    with ThreadPoolExecutor(4) as threads:
        loads = [threads.submit(hfspec.load, folder) for _ in range(8)]
        plans = [threads.submit(hfspec.plan, spec) for _ in range(8)]
        for done in (*loads, *plans):
            done.result()
    assert len(most) == 16
    assert max(most) == 1
