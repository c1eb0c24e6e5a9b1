"""Weights gathered when the artifact is loaded: found, fetched, verified; and what is said when they are not there."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

import hfspec
from tests.checkpoints import make
from tests.hub.repository import read_folder
from tests.reference.conftest import REPO, TEXTS, weights_of, write


def answers(predictor):
    found = predictor.predict(TEXTS, outputs="full")
    return [{k: (v.tolist() if isinstance(v, np.ndarray) else v) for k, v in row.items()} for row in found]


def without_fingerprint(rows):
    """Of spaces with the same numbers that were stored in different dtypes."""
    return [{key: value for key, value in row.items() if key != "fingerprint"} for row in rows]


CASES = [
    ("bert-sentiment", {}),
    ("bert-sentiment", {"dtype": "bfloat16"}),
    ("bert-sentiment", {"max_shard_size": "30KB"}),
    ("gpt2-sharded", {"model_config": {"max_new_tokens": 4}}),
    ("gpt2-sharded", {"model_config": {"max_new_tokens": 4}, "dtype": "bfloat16"}),
    ("st-dense", {}),
    ("st-dense", {"dtype": "bfloat16"}),
]


@pytest.mark.parametrize(("name", "keys"), CASES, ids=str)
def test_the_same_numbers_as_a_full_artifact(name, keys, both):
    full, reference = (hfspec.load(artifact.path) for artifact in both(name, **keys))
    assert answers(reference) == answers(full)
    assert reference.fingerprint == full.fingerprint
    assert (full.fingerprint is None) == (name != "st-dense")


@pytest.mark.parametrize("name", ["bert-sentiment", "st-dense"])
def test_the_dtype_asked_of_load(name, both, tmp_path):
    """As if the spec had said it, in every module."""
    full, reference = (hfspec.load(artifact.path, dtype="bfloat16") for artifact in both(name))
    compiled = hfspec.compile(tmp_path / "specs" / "spec.yaml", tmp_path / "cast", ["dtype=bfloat16"], run=False)
    expected = answers(hfspec.load(compiled.path))
    assert without_fingerprint(answers(reference)) == without_fingerprint(answers(full))
    assert without_fingerprint(answers(full)) == without_fingerprint(expected)
    assert {str(tensor.dtype) for tensor in reference.components()["model"].parameters()} == {"torch.bfloat16"}


def test_the_librarys_own_model(both):
    """sentence-transformers reads the gathered folder too, later than load."""
    _, reference = both("st-dense")
    predictor = hfspec.load(reference.path)
    theirs = predictor.components()["model"].encode(TEXTS)
    np.testing.assert_allclose(predictor.predict(TEXTS), theirs, atol=1e-6)


def test_the_fingerprint_is_checked(both):
    full, reference = both("minilm-like")
    assert reference.manifest.fingerprint is None
    hfspec.load(reference.path, expect_fingerprint=full.manifest.fingerprint)
    with pytest.raises(hfspec.VerificationError, match="embedding space"):
        hfspec.load(reference.path, expect_fingerprint="0" * 64)


class TestHub:
    def test_fetches_exactly_the_recorded_bytes(self, hub, on_hub, checkpoint):
        reference = on_hub()
        hub.publish(REPO, {**read_folder(checkpoint("bert-sentiment")), "model.safetensors": b"moved on"})
        hub.forget()
        predictor = hfspec.load(reference.path)
        assert {request.path.split("/")[-1] for request in hub.requests if "/resolve/" in request.path} == {
            "model.safetensors"
        }
        assert not [request for request in hub.requests if request.path.startswith("/api/")]
        assert len(predictor.predict(TEXTS)) == 2

    def test_works_offline_once_cached(self, hub, on_hub, monkeypatch):
        reference = on_hub()
        expected = answers(hfspec.load(reference.path))
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        hub.forget()
        assert answers(hfspec.load(reference.path)) == expected
        assert hub.requests == []

    def test_offline_and_not_cached(self, on_hub, monkeypatch):
        reference = on_hub()
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(hfspec.SourceError, match=r"model\.safetensors of commit .* is not in the cache .*OFFLINE"):
            hfspec.load(reference.path)

    def test_the_example_is_run_offline(self, on_hub, tmp_path):
        assert on_hub(input_example=TEXTS).manifest.pointers
        assert list((tmp_path / "hf-cache").rglob("model.safetensors"))

    @pytest.mark.parametrize("kind", ["cut", "reset", "truncate", "drop"])
    def test_passing_faults_are_overcome(self, kind, hub, on_hub):
        reference = on_hub()
        hub.faults.add(kind, "GET /cdn/")
        assert len(hfspec.load(reference.path).predict(TEXTS)) == 2

    def test_a_hub_lost_in_the_middle(self, hub, on_hub):
        reference = on_hub()
        hub.faults.add("cut", "GET /cdn/", times=1)
        hub.faults.add("drop", "GET /cdn/", times=100)
        with pytest.raises(hfspec.SourceError, match="what was downloaded is kept"):
            hfspec.load(reference.path)
        hub.forget()
        assert len(hfspec.load(reference.path).predict(TEXTS)) == 2
        assert hub.bodies("/cdn/")[0].range.startswith("bytes=")  # the rest, not all of it again

    def test_wrong_bytes_are_refused(self, hub, on_hub, tmp_path):
        reference = on_hub()
        hub.faults.add("corrupt", "GET /cdn/", times=10)
        with pytest.raises(hfspec.SourceError, match=r"model\.safetensors was refused"):
            hfspec.load(reference.path)
        assert not weights_of(tmp_path / "hf-cache")

    def test_a_damaged_cache_is_mended(self, hub, on_hub, tmp_path):
        reference = on_hub()
        expected = answers(hfspec.load(reference.path))
        (cached,) = weights_of(tmp_path / "hf-cache")
        data = bytearray(cached.read_bytes())
        data[-1] ^= 1
        cached.resolve().write_bytes(bytes(data))
        assert answers(hfspec.load(reference.path)) == expected

    def test_a_repository_that_is_gone(self, hub, on_hub):
        reference = on_hub()
        gone = hub.repositories.pop(REPO)
        try:
            with pytest.raises(hfspec.SourceError, match=f"{REPO} does not exist"):
                hfspec.load(reference.path)
        finally:
            hub.repositories[REPO] = gone

    def test_a_folder_given_instead(self, hub, on_hub, checkpoint):
        reference = on_hub()
        hub.forget()
        predictor = hfspec.load(reference.path, sources={"model": checkpoint("bert-sentiment")})
        assert len(predictor.predict(TEXTS)) == 2
        assert hub.requests == []


class TestFolder:
    def test_found_where_the_compiler_saw_it(self, reference, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        shutil.move(reference, tmp_path / "elsewhere")
        assert len(hfspec.load(tmp_path / "elsewhere").predict(TEXTS)) == 2

    def test_given_when_nothing_is_remembered(self, reference, tmp_path, own_memory):
        shutil.rmtree(own_memory)
        moved = (tmp_path / "sources" / "bert-sentiment").rename(tmp_path / "moved")
        with pytest.raises(hfspec.SourceError, match="--source model=FOLDER"):
            hfspec.load(reference)
        assert len(hfspec.load(reference, sources={"model": moved}).predict(TEXTS)) == 2

    def test_found_from_the_current_folder(self, reference, tmp_path, own_memory, monkeypatch):
        """An absolute path is recorded by its last part."""
        shutil.rmtree(own_memory)
        monkeypatch.chdir(tmp_path / "sources")
        assert len(hfspec.load(reference).predict(TEXTS)) == 2

    def test_every_place_is_named(self, reference, tmp_path):
        (tmp_path / "sources" / "bert-sentiment").rename(tmp_path / "moved")
        with pytest.raises(hfspec.SourceError) as caught:
            hfspec.load(reference)
        text = str(caught.value)
        assert f"{tmp_path / 'sources' / 'bert-sentiment'}, where they were at compile time: " in text
        assert "bert-sentiment, from the current folder: " in text

    def test_other_bytes_are_refused(self, reference, tmp_path):
        (file,) = weights_of(tmp_path / "sources")
        hfspec.load(reference)
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(bytes(data))
        with pytest.raises(hfspec.VerificationError, match=r"model\.safetensors has other content") as caught:
            hfspec.load(reference)
        assert caught.value.files == ("model/model.safetensors",)
        with pytest.raises(hfspec.VerificationError, match=r"folder given, .*model\.safetensors has other content"):
            hfspec.load(reference, sources={"model": file.parent})

    def test_a_folder_without_them(self, reference, tmp_path):
        with pytest.raises(hfspec.SourceError, match=r"model\.safetensors is not there"):
            hfspec.load(reference, sources={"model": tmp_path / "specs"})

    def test_a_role_that_is_not_looked_for(self, reference, both, tmp_path):
        with pytest.raises(hfspec.UsageError, match="looks for model, not for tokenizer"):
            hfspec.load(reference, sources={"tokenizer": tmp_path})
        with pytest.raises(hfspec.UsageError, match="holds its weights itself"):
            hfspec.load(tmp_path / "full", sources={"model": tmp_path})

    def test_a_changed_file_is_caught_at_the_second_start(self, reference, tmp_path):
        (file,) = weights_of(tmp_path / "sources")
        hfspec.load(reference)
        state = file.stat()
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 64
        file.write_bytes(bytes(data))
        os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
        with pytest.raises(hfspec.VerificationError, match="has other content"):
            hfspec.load(reference)


class TestPackage:
    @pytest.fixture
    def package(self, tmp_path, monkeypatch, checkpoint):
        place = tmp_path / "packages" / "weights_of_mine"
        shutil.copytree(checkpoint("bert-sentiment"), place / "model")
        (place / "__init__.py").touch()
        monkeypatch.syspath_prepend(str(place.parent))
        spec = write(tmp_path / "specs", "bert", {"package": "weights_of_mine/model"}, save_mode="reference")
        return place, hfspec.compile(spec, tmp_path / "reference").path

    def test_found_where_it_is_installed(self, package):
        assert len(hfspec.load(package[1]).predict(TEXTS)) == 2

    def test_another_version_of_it(self, package, tmp_path):
        place, reference = package
        shutil.rmtree(place / "model")
        make("bert-toxic", place / "model")
        with pytest.raises(hfspec.VerificationError, match="the package weights_of_mine/model: "):
            hfspec.load(reference)

    def test_not_installed(self, package):
        place, reference = package
        shutil.rmtree(place)
        with pytest.raises(hfspec.SourceError, match="weights_of_mine is not installed here"):
            hfspec.load(reference)


def gathered_folders():
    return {path for path in Path(tempfile.gettempdir()).glob("hfspec-*") if path.is_dir()}


@pytest.mark.usefixtures("only_new_objects")
def test_nothing_is_left_behind(reference, tmp_path, monkeypatch):
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    predictor = hfspec.load(reference)
    assert len(gathered_folders()) == 1
    assert not [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
    del predictor
    gc.collect()
    assert gathered_folders() == set()
    with pytest.raises(hfspec.UsageError):
        hfspec.load(reference, device="nowhere")
    gc.collect()
    assert gathered_folders() == set()


def test_runs_where_hfspec_is_not_installed(reference, tmp_path):
    """Through the artifact's code, a folder given; pydantic and the compiler's other packages cannot be imported."""
    blocked = tmp_path / "blocked"
    for name in ("pydantic", "hydra", "omegaconf", "ruamel", "typer", "jsonschema"):
        (blocked / name).mkdir(parents=True)
        (blocked / name / "__init__.py").write_text("raise ImportError('blocked')\n")
    environment = {**os.environ, "PYTHONPATH": str(blocked), "XDG_CACHE_HOME": str(tmp_path / "other")}
    folder = tmp_path / "sources" / "bert-sentiment"
    done = subprocess.run(
        [sys.executable, str(reference / "predictor.py"), f"--source=model={folder}", TEXTS[0]],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "label" in done.stdout
    hfspec.verify(reference)
