"""Two artifacts compared: compiled once, told apart by their manifests and small files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import hfspec
from hfspec.comparison.change import Change

OLD_TEMPLATE = "{% for m in messages %}\n<{{ m.role }}>{{ m.content }}\n{% endfor %}\n"
NEW_TEMPLATE = OLD_TEMPLATE.replace("<{{ m.role }}>", "[{{ m.role }}] ")
KEYS = {"spec_version": 1, "library": "transformers", "task": "text-generation", "name": "chat"}


def _compiled(folder: Path, source: Path, template: str, generation: dict[str, Any], **keys: Any) -> Path:
    model = Path(shutil.copytree(source, folder / "checkpoint"))
    (model / "chat_template.jinja").write_text(template)
    (model / "generation_config.json").write_text(json.dumps(generation))
    spec = folder / "spec.yaml"
    spec.write_text(json.dumps({**KEYS, "model": {"path": "checkpoint"}, **keys}))
    return hfspec.compile(spec, output=folder / "artifact", run=False).path


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, checkpoint: Callable[[str], Path]) -> tuple[Path, Path]:
    """An artifact, and the next one of the same deployment; never write into them."""
    source, folder = checkpoint("llama-chat"), tmp_path_factory.mktemp("pair")
    old = {"bos_token_id": 0, "eos_token_id": 1, "max_new_tokens": 12, "transformers_version": "5.0.0"}
    new = {**old, "max_new_tokens": 24, "transformers_version": "5.1.0"}
    return (
        _compiled(folder / "a", source, OLD_TEMPLATE, old),
        _compiled(
            folder / "b", source, NEW_TEMPLATE, new, dtype="bfloat16", input_example="a text", metadata={"owner": "me"}
        ),
    )


def _record(folder: Path, path: str) -> dict[str, Any]:
    files = json.loads((folder / "artifact.json").read_bytes())["files"]
    return next(record for record in files if record["path"] == path)


def test_the_changes_of_a_new_version(pair: tuple[Path, Path]) -> None:
    found = {(change.group, change.key): change for change in hfspec.diff(*pair)}
    meant = {place: change for place, change in found.items() if place[0] not in ("size", "weights", "files")}
    assert list(meant.values()) == [
        Change("chat template", '"model/chat_template.jinja"', OLD_TEMPLATE, NEW_TEMPLATE, "changed"),
        Change("generation defaults", "max_new_tokens", 12, 24, "changed"),
        Change("dtype", "", "float32", "bfloat16", "changed"),
        Change("metadata", "owner", None, "me", "added"),
        Change("input example", "", None, "a text", "added"),
    ]


def test_sizes_are_those_on_disk_and_files_are_told_by_digest(pair: tuple[Path, Path]) -> None:
    found = {(change.group, change.key): change for change in hfspec.diff(*pair)}
    weights = tuple((folder / "model" / "model.safetensors").stat().st_size for folder in pair)
    change = found["size", "weights"]
    assert (change.before, change.after) == weights
    total = tuple(
        sum(file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.name != "artifact.json")
        for folder in pair
    )
    change = found["size", "total"]
    assert (change.before, change.after) == total
    for path in ("model/config.json", "model/generation_config.json", "model/chat_template.jinja", "spec.yaml"):
        change = found["files", path]
        assert (change.before, change.after) == tuple(_record(folder, path)["sha256"] for folder in pair)
    listed = {key for group, key in found if group == "files"}
    assert not any(key.endswith(".safetensors") or key.startswith("code/") for key in listed)
    assert "model/tokenizer.json" not in listed
    assert ("weights", "sha256") in found


def test_an_artifact_is_itself_wherever_it_lies(pair: tuple[Path, Path], tmp_path: Path) -> None:
    moved = shutil.copytree(pair[0], tmp_path / "elsewhere")
    assert hfspec.diff(pair[0], moved) == ()


def test_the_other_way_round_is_the_mirror_image(pair: tuple[Path, Path]) -> None:
    found = hfspec.diff(*pair)
    assert hfspec.diff(*reversed(pair)) == tuple(change.mirrored() for change in found)


def test_no_weights_are_read(pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Weights that are gone or broken change nothing: the manifest speaks for them."""
    copy = shutil.copytree(pair[0], tmp_path / "copy")
    (copy / "model" / "model.safetensors").unlink()
    assert hfspec.diff(pair[0], copy) == ()


def test_labels_and_licences_are_told_apart(tmp_path: Path, checkpoint: Callable[[str], Path]) -> None:
    artifacts = []
    for name, label, text in (("a", "GOOD", "Licence A\n"), ("b", "FINE", "Licence B\n")):
        model = Path(shutil.copytree(checkpoint("bert-sentiment"), tmp_path / name / "checkpoint"))
        config = json.loads((model / "config.json").read_bytes())
        config["id2label"]["1"] = label
        config["label2id"] = {value: int(key) for key, value in config["id2label"].items()}
        (model / "config.json").write_text(json.dumps(config))
        (model / "LICENSE").write_text(text)
        spec = tmp_path / name / "spec.yaml"
        spec.write_text(json.dumps({**KEYS, "task": "sentiment-analysis", "model": {"path": "checkpoint"}}))
        artifacts.append(hfspec.compile(spec, output=tmp_path / name / "artifact", run=False).path)
    found = [(change.group, change.key) for change in hfspec.diff(*artifacts)]
    assert found[:2] == [("labels", "1"), ("licence", "LICENSE")]
    assert hfspec.diff(*artifacts)[0] == Change("labels", "1", "GOOD", "FINE", "changed")


@pytest.mark.parametrize("damage", [b"\x00", b"{}", b"not json"])
def test_a_damaged_manifest_is_refused(pair: tuple[Path, Path], tmp_path: Path, damage: bytes) -> None:
    copy = shutil.copytree(pair[1], tmp_path / "copy")
    manifest = copy / "artifact.json"
    data = bytearray(manifest.read_bytes())
    data[len(data) // 2 : len(data) // 2 + len(damage)] = damage
    manifest.write_bytes(data)
    for sides in ((pair[0], copy), (copy, pair[0])):
        with pytest.raises(hfspec.VerificationError, match=r"artifact\.json") as refused:
            hfspec.diff(*sides)
        assert refused.value.files == ("artifact.json",)


@pytest.mark.parametrize("path", ["model/config.json", "model/chat_template.jinja", "model/generation_config.json"])
@pytest.mark.parametrize("damage", ["flip", "link", "grow", "gone"])
def test_a_small_file_that_is_not_the_manifests_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, path: str, damage: str
) -> None:
    copy = shutil.copytree(pair[1], tmp_path / "copy")
    file = copy / path
    data = file.read_bytes()
    file.unlink()
    if damage == "flip":
        file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    elif damage == "grow":
        file.write_bytes(data + b" ")
    elif damage == "link":
        file.symlink_to(pair[1] / path)
    with pytest.raises(hfspec.VerificationError, match=path.replace(".", r"\.")) as refused:
        hfspec.diff(pair[0], copy)
    assert refused.value.files == (path,)


def test_a_folder_that_is_no_artifact_is_refused(pair: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(hfspec.VerificationError, match=r"is not an artifact"):
        hfspec.diff(pair[0], tmp_path)
