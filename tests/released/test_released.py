"""Artifacts that earlier versions of hfspec wrote: verified, loaded and answered by this one, for ever."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

import hfspec
from hfspec.ir import artifact as artifact_module
from hfspec.ir import manifest_versions
from hfspec.ir.canonical import canonical, digest_of
from tests import interpreters
from tests.released.make import ARTIFACTS, plain

RECORDS = sorted(ARTIFACTS.glob("*/*.answers.json"))
FOLDERS = [path.with_name(path.name.removesuffix(".answers.json")) for path in RECORDS]
CLASSIFIER = ARTIFACTS / "0.1.0" / "classifier"
ANEW = ("id", "created")  # of each chat completion


@pytest.fixture(autouse=True)
def _own_cache(shared_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What load remembers of verified files is kept with the test run."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared_folder / "cache"))


@pytest.fixture
def released(tmp_path: Path) -> Path:
    """A copy of the released classifier, which the test may change."""
    return Path(shutil.copytree(CLASSIFIER, tmp_path / "released"))


def name_of(folder: Path) -> str:
    return folder.relative_to(ARTIFACTS).as_posix()


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads(folder.with_name(f"{folder.name}.answers.json").read_text(encoding="utf-8"))


def lasting(answer: Any, number: Callable[[float], Any] = float) -> Any:
    """An answer without what each answer has anew; ``number`` makes what each float is compared with."""
    if isinstance(answer, dict):
        return {key: lasting(value, number) for key, value in answer.items() if key not in ANEW}
    if isinstance(answer, list):
        return [lasting(value, number) for value in answer]
    return number(answer) if isinstance(answer, float) else answer


def roughly(value: float) -> Any:
    """With a tolerance for other processors and libraries."""
    return pytest.approx(value, abs=1e-4)


def changed(folder: Path, change: Callable[[dict[str, Any]], None], *, seal: bool = True) -> Path:
    """The artifact with another manifest, whose digest is right unless ``seal`` is False."""
    path = folder / "artifact.json"
    value = json.loads(path.read_bytes())
    change(value)
    if seal:
        value["digest"] = digest_of({key: item for key, item in value.items() if key != "digest"})
    path.write_bytes(canonical(value))
    return folder


def test_several_kinds_were_released():
    tasks = {record_of(folder)["task"] for folder in FOLDERS}
    assert tasks >= {"text-classification", "text-generation", "feature-extraction", "llm/v1/chat"}
    assert (CLASSIFIER.parent / "adapted" / "adapter" / "adapter_config.json").exists()
    assert (ARTIFACTS / "0.1.0-code-folder" / "classifier" / "code" / "hfspec" / "__init__.py").exists()


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_verified_as_it_was_released(folder):
    record = record_of(folder)
    assert hashlib.sha256((folder / "artifact.json").read_bytes()).hexdigest() == record["manifest_sha256"]
    assert hfspec.verify(folder).digest == record["digest"]


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_answers_as_it_was_released(folder):
    predictor = hfspec.load(folder)
    for call in record_of(folder)["calls"]:
        answer = predictor.predict(call["input"], params=call["params"] or None)
        assert lasting(plain(answer)) == lasting(call["answer"], roughly)


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if (folder / "code").exists()], ids=name_of)
def test_its_own_predictor_answers(folder):
    record = record_of(folder)
    command = [sys.executable, "predictor.py", *record["calls"][0]["input"]]
    done = interpreters.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == lasting(record["calls"][0]["answer"], roughly)


def test_the_signature_still_vouches():
    signed, generator = CLASSIFIER.with_name("signed"), CLASSIFIER.with_name("generator")
    public = signed.with_name("signed.pub")
    assert hfspec.verify(signed, key=public).digest == record_of(signed)["digest"]
    with pytest.raises(hfspec.VerificationError, match="of another artifact"):
        hfspec.verify(generator, key=public, signature=signed.with_name("signed.sig"))


@pytest.mark.parametrize("seal", [True, False], ids=["with its digest", "with another digest"])
@pytest.mark.parametrize("version", [3, 4, 1000])
def test_an_artifact_of_a_newer_hfspec_is_refused(version, seal, released):
    """Whatever a newer form says, and however it takes its digest: what this one cannot know is not called damaged."""

    def newer(value: dict[str, Any]) -> None:
        value |= {"format_version": version, "made_by": {"hfspec": "7.1.0"}, "shards": [{"kind": "new"}]}
        del value["deployment"]["dtype"]

    changed(released, newer, seal=seal)
    for refused in (hfspec.verify, hfspec.load, hfspec.persist):
        with pytest.raises(hfspec.VerificationError, match="made by a newer hfspec") as caught:
            refused(released)
        assert f"has format version {version}, and this hfspec reads 2 at most" in str(caught.value)
        assert "pip install --upgrade 'hfspec>=7.1.0'" in str(caught.value)
        assert "damaged" not in str(caught.value)
        assert caught.value.files == ("artifact.json",)


def test_what_a_newer_manifest_says_of_its_maker_is_not_repeated_unless_it_is_a_version(released):
    changed(released, lambda value: value.update(format_version=3, made_by={"hfspec": "1'; rm -rf /"}))
    with pytest.raises(hfspec.VerificationError, match="made by a newer hfspec") as caught:
        hfspec.verify(released)
    assert "pip install --upgrade 'hfspec'" in str(caught.value)


def test_the_command_says_it_too(released):
    changed(released, lambda value: value.update(format_version=3))
    for command in (["verify", released], ["inspect", released], ["predict", released, "a text"]):
        done = interpreters.run([sys.executable, "-m", "hfspec", *command], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (4, "")
        assert "was made by a newer hfspec" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("version", [0, -1, None, "1", 1.5, True, [1]], ids=repr)
def test_a_version_that_was_never_written(version, released):
    changed(released, lambda value: value.update(format_version=version))
    with pytest.raises(hfspec.VerificationError, match=r"artifact\.json .* is damaged") as caught:
        hfspec.verify(released)
    assert "newer" not in str(caught.value)


def test_a_form_that_changed_is_read_by_its_own_reader_and_keeps_its_digest(released, monkeypatch):
    """As the next version of the form would have it: the artifact of today, read by that hfspec."""

    def with_new_key(body: Any) -> Any:
        return {**body, "metadata": {**body["metadata"], "upgraded": True}}

    readers = MappingProxyType({1: with_new_key, 2: lambda body: body})
    monkeypatch.setattr(manifest_versions, "READERS", readers)
    monkeypatch.setattr(artifact_module, "FORMAT_VERSION", 2)
    manifest = hfspec.verify(released)
    assert manifest.metadata["upgraded"] is True
    assert manifest.digest == record_of(CLASSIFIER)["digest"]
    assert json.loads(manifest.to_bytes())["format_version"] == 2
    assert hfspec.load(released).predict(["a fine film"]) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["deployment"].update(runtime={}),
        lambda value: value.update(pointers=[], code={}),
        lambda value: value["sources"][0].update(licences=[]),
        lambda value: value["signature"]["params"][0].update(choices=None),
    ],
    ids=["runtime", "pointers and code", "licences", "choices"],
)
def test_what_the_classes_of_today_would_leave_out_may_be_written(change, released):
    """The digest is over what the file says."""
    changed(released, change)
    written = json.loads((released / "artifact.json").read_bytes())["digest"]
    assert hfspec.verify(released).digest == written
    assert written != record_of(CLASSIFIER)["digest"]


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value.update(shards=[]),
        lambda value: value["deployment"].update(shards=[]),
        lambda value: value["files"][0].update(mode=0o644),
        lambda value: value["signature"].update(shards=[]),
        lambda value: value["signature"]["params"][0].update(unit="s"),
        lambda value: value["sources"][0].update(mirror="x"),
        lambda value: value.pop("versions"),
        lambda value: value.update(versions=[]),
        lambda value: value.update(sources={}),
        lambda value: value.update(files=""),
        lambda value: value["signature"].update(inputs=""),
        lambda value: value.update(signature=None),
    ],
    ids=lambda change: f"line {change.__code__.co_firstlineno}",
)
def test_a_manifest_of_this_version_says_nothing_else(change, released):
    changed(released, change)
    with pytest.raises(hfspec.VerificationError, match=r"artifact\.json .* is damaged: it is not a manifest of hfspec"):
        hfspec.verify(released)


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda content: content.replace(b"  ", b" "),
        lambda content: content.rstrip(),
        lambda content: content.replace(b'"name":', b'"name": "other",\n  "name":', 1),
        lambda content: json.dumps(json.loads(content)).encode(),
    ],
    ids=["indentation", "last line", "a key twice", "one line"],
)
def test_another_spelling_of_the_same_manifest_is_refused(rewrite, released):
    path = released / "artifact.json"
    path.write_bytes(rewrite(path.read_bytes()))
    with pytest.raises(hfspec.VerificationError, match="does not match its own digest"):
        hfspec.verify(released)
