"""Whatever differs from the manifest is named, before anything parses it."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import socket
import stat
from dataclasses import replace
from pathlib import Path

import pytest

import hfspec
from hfspec.integrity.paths import path_fault
from hfspec.ir.artifact import Manifest
from hfspec.ir.canonical import canonical, digest_of
from tests.compiling import tree_of


def refused(folder: Path, *names: str) -> str:
    with pytest.raises(hfspec.VerificationError) as caught:
        hfspec.verify(folder)
    assert set(caught.value.files) == set(names)
    for name in names:
        assert name in str(caught.value)
    return str(caught.value)


def test_good_artifact(artifact, compiled):
    manifest = hfspec.verify(artifact)
    assert manifest == compiled("bert-sentiment").manifest
    assert {record.path for record in manifest.files} | {"artifact.json"} == set(tree_of(artifact))


def test_a_flipped_bit_in_any_file(artifact):
    for path, content in tree_of(artifact).items():
        if not content:
            continue
        damaged = bytearray(content)
        damaged[len(damaged) // 2] ^= 4
        (artifact / path).write_bytes(damaged)
        refused(artifact, path)
        (artifact / path).write_bytes(content)
    assert hfspec.verify(artifact)


def test_a_flipped_bit_anywhere_in_the_manifest(artifact):
    path = artifact / "artifact.json"
    content = path.read_bytes()
    for place in range(0, len(content), 97):
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        path.write_bytes(damaged)
        refused(artifact, "artifact.json")


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"format_version": 99}']
)
def test_manifest_that_is_none(content, artifact):
    (artifact / "artifact.json").write_bytes(content)
    refused(artifact, "artifact.json")


def test_no_artifact(tmp_path):
    assert "is not an artifact" in refused(tmp_path, "artifact.json")
    assert "is not an artifact" in refused(tmp_path / "nowhere", "artifact.json")


def test_deleted(artifact):
    (artifact / "model" / "config.json").unlink()
    assert "is missing" in refused(artifact, "model/config.json")


def test_added(artifact):
    (artifact / "model" / "extra.py").write_text("import os")
    assert "is not expected" in refused(artifact, "model/extra.py")


def test_added_empty_folder(artifact):
    (artifact / "model" / "extra").mkdir()
    refused(artifact, "model/extra")


def test_renamed(artifact):
    (artifact / "README.md").rename(artifact / "readme.md")
    refused(artifact, "README.md", "readme.md")


def test_truncated_and_lengthened(artifact):
    weights = artifact / "model" / "model.safetensors"
    size = weights.stat().st_size
    os.truncate(weights, size - 1)
    with (artifact / "LICENSE").open("ab") as file:
        file.write(b"\n")
    text = refused(artifact, "model/model.safetensors", "LICENSE")
    assert f"{size - 1} bytes instead of {size}" in text


def test_a_file_replaced_by_a_link_to_the_same_bytes(artifact, tmp_path):
    target = artifact / "model" / "config.json"
    shutil.move(target, tmp_path / "elsewhere.json")
    target.symlink_to(tmp_path / "elsewhere.json")
    assert "is a link" in refused(artifact, "model/config.json")


def test_a_folder_replaced_by_a_link(artifact, tmp_path):
    shutil.move(artifact / "code", tmp_path / "code")
    (artifact / "code").symlink_to(tmp_path / "code")
    with pytest.raises(hfspec.VerificationError) as caught:
        hfspec.verify(artifact)
    assert "code" in caught.value.files


def other_folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def listener(path: Path) -> None:
    """A socket; its name is bound from its own folder, since such names may be 100 characters long at most."""
    with contextlib.chdir(path.parent), socket.socket(socket.AF_UNIX) as bound:
        bound.bind(path.name)


def device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


def dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [other_folder, pipe, listener, device, dead_link])
@pytest.mark.parametrize("path", ["LICENSE", "model/config.json", "artifact.json"])
def test_a_file_replaced_by_what_is_no_file(path, make, artifact):
    """A pipe is not waited for, and /dev/zero not read to its end."""
    (artifact / path).unlink()
    try:
        make(artifact / path)
    except PermissionError:
        pytest.skip("not permitted to make one here")
    refused(artifact, path)


def test_a_folder_replaced_by_a_file(artifact):
    inside = [path for path in tree_of(artifact) if path.startswith("model/")]
    shutil.rmtree(artifact / "model")
    (artifact / "model").write_text("")
    assert "model: is not a folder" in refused(artifact, "model", *inside)


def test_a_name_that_differs_in_case_or_in_the_form_of_a_letter(artifact):
    """Beside the right file, where the file system has room for both."""
    for name in ("CONFIG.json", "con\u017fig.json"):
        (artifact / "model" / name).write_bytes((artifact / "model" / "config.json").read_bytes())
    refused(artifact, "model/CONFIG.json", "model/con\u017fig.json")


def test_everything_wrong_is_named_at_once(artifact):
    (artifact / "model" / "config.json").unlink()
    (artifact / "spec.yaml").write_text("")
    (artifact / "new").mkdir()
    (artifact / "LICENSE").rename(artifact / "LICENCE")
    refused(artifact, "model/config.json", "spec.yaml", "new", "LICENSE", "LICENCE")


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../outside",
        "model/../../outside",
        "./model",
        "model//x",
        "",
        ".",
        "..",
        "model/.",
        "model/",
        "C:/x",
        "a\\b",
        "a\nb",
        "ARTIFACT.json",
    ],
)
def test_manifest_with_an_unsafe_path(path, artifact):
    manifest = hfspec.verify(artifact)
    record = replace(manifest.files[0], path=path)
    (artifact / "artifact.json").write_bytes(replace(manifest, files=(*manifest.files, record)).to_bytes())
    refused(artifact, path)


def test_manifest_with_two_paths_that_differ_in_case(artifact):
    manifest = hfspec.verify(artifact)
    record = replace(manifest.files[0], path=manifest.files[0].path.upper())
    (artifact / "artifact.json").write_bytes(replace(manifest, files=(*manifest.files, record)).to_bytes())
    refused(artifact, record.path)


def test_manifest_with_two_forms_of_one_letter(artifact):
    """Two files here, one on file systems that know one form only."""
    manifest = hfspec.verify(artifact)
    composed, decomposed = (replace(manifest.files[0], path=f"model/{name}") for name in ("\u00e9", "e\u0301"))
    (artifact / "artifact.json").write_bytes(replace(manifest, files=(composed, decomposed)).to_bytes())
    refused(artifact, decomposed.path)


def test_good_paths():
    assert [path_fault(path) for path in ("model/config.json", "a b/ü.txt", "..hidden", "x..y")] == [""] * 4


def places(value, path=()):
    """The path of everything in a JSON value, two items of a list at most."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2]) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


@pytest.mark.parametrize("wrong", [None, True, 5, 1.5, "x", [], ["x"], {}, {"x": 1}], ids=repr)
def test_a_manifest_with_a_value_of_another_kind_is_refused_or_read_but_nothing_else(wrong, artifact):
    """Its own digest is right: whoever made it could write one."""
    document = json.loads((artifact / "artifact.json").read_bytes())
    del document["digest"]
    accepted = []
    for place in places(document):
        changed = copy.deepcopy(document)
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        kind, holder[place[-1]] = type(holder[place[-1]]), wrong
        (artifact / "artifact.json").write_bytes(canonical({**changed, "digest": digest_of(changed)}))
        with contextlib.suppress(hfspec.VerificationError):
            hfspec.verify(artifact)
            accepted.append((place, kind))
    free = ("metadata", "versions", "made_by", "signature")  # a param's default may be any JSON value
    texts = [place for place, kind in accepted if kind is str and place[0] not in free and type(wrong) is not str]
    nullable = {"prompt_template", "revision", "commit", "model_config", "defaults", "components", "options"}
    assert [place for place in texts if not nullable & set(place)] == []


def test_manifest_survives_a_round_trip(artifact):
    content = (artifact / "artifact.json").read_bytes()
    assert Manifest.from_bytes(content).to_bytes() == content
