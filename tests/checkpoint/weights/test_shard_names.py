"""The shards of a checkpoint are what its index says, whatever they are called and wherever they lie."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import hfspec
from tests.compiling import write_spec

TEXTS = ["a fine film", "a terrible ending"]
SAFETENSORS = "model.safetensors.index.json"
BIN = "pytorch_model.bin.index.json"
NAMES = {
    "the library's own": ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
    "the format first": (
        "model.safetensors-00001-of-00002.safetensors",
        "model.safetensors-00002-of-00002.safetensors",
    ),
    "consolidated": ("consolidated-00001-of-00002.safetensors", "consolidated-00002-of-00002.safetensors"),
    "by layers": ("layers-0.safetensors", "layers-1.safetensors"),
    "numbers alone": ("model_1.safetensors", "model_2.safetensors"),
    "a folder below": ("w/a.safetensors", "w/b.safetensors"),
    "folders below": ("w/x/a.safetensors", "v/a.safetensors"),
    "spaces and accents": ("part 1.safetensors", "té.safetensors"),
    "a dot first": ("./one.safetensors", "two.safetensors"),
    "one shard": ("whole.safetensors", "whole.safetensors"),
}
PICKLED = {
    "the library's own": ("pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"),
    "other names": ("w/layers-0.bin", "rest.bin"),
    "another ending": ("first.pt", "second.pth"),
    "no ending": ("weights/first", "second"),
}


def sharded(folder: Path, names: tuple[str, str], index: str = SAFETENSORS, **keys: object) -> Path:
    """The checkpoint in ``folder`` with its tensors in two files of these names, and what the index says of them."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    weight_map = {name: names[place % 2] for place, name in enumerate(sorted(tensors))}
    for name in set(names):
        own = {tensor: tensors[tensor] for tensor, where in weight_map.items() if where == name}
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".safetensors"):
            save_file(own, folder / name, metadata={"format": "pt"})
        else:
            torch.save(own, folder / name)
    (folder / index).write_text(json.dumps({"metadata": {}, "weight_map": weight_map, **keys}))
    return folder


def scores(model: Path) -> torch.Tensor:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    batch = AutoTokenizer.from_pretrained(model)(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return AutoModelForSequenceClassification.from_pretrained(model)(**batch).logits.softmax(-1).max(-1).values


@pytest.fixture(scope="module")
def wanted(checkpoint):
    return scores(checkpoint("bert-sentiment"))


CASES = [*((SAFETENSORS, case, names) for case, names in NAMES.items())]
CASES += [*((BIN, case, names) for case, names in PICKLED.items())]
CASES += [(SAFETENSORS, "pickled shards", ("a.bin", "b.bin")), (BIN, "safe shards", NAMES["by layers"])]


@pytest.mark.parametrize(("index", "names"), [(index, names) for index, _, names in CASES], ids=[x[1] for x in CASES])
def test_any_name_will_do(index, names, own_copy, tmp_path, wanted):
    """And transformers loads the artifact's own folder too, with the answers of the checkpoint as it was."""
    model = sharded(own_copy("bert-sentiment"), names, index)
    artifact = hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target")
    shutil.rmtree(model)
    found = torch.tensor(hfspec.load(artifact.path).predict(TEXTS)["score"].tolist())
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(scores(artifact.path / "model"), wanted, rtol=0, atol=0)
    kept = {path.relative_to(artifact.path / "model").as_posix() for path in artifact.path.rglob("*.safetensors")}
    if names[0].endswith(".safetensors"):
        assert kept == {name.removeprefix("./") for name in names}
    assert not [record.path for record in artifact.manifest.files if record.path.endswith((".bin", ".pt", ".pth"))]


@pytest.mark.parametrize("overrides", [["dtype=bfloat16"], ["max_shard_size=20KB"], ["save_mode=reference"]])
def test_shards_in_a_folder_below_are_cast_cut_and_referred_to(overrides, own_copy, tmp_path, wanted):
    model = sharded(own_copy("bert-sentiment"), NAMES["a folder below"])
    artifact = hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target", overrides=overrides)
    found = torch.tensor(hfspec.load(artifact.path).predict(TEXTS)["score"].tolist())
    torch.testing.assert_close(found, wanted, rtol=1e-2, atol=1e-2)
    assert not (artifact.path / "model/w").exists()


def test_shards_of_a_sentence_transformers_module(own_copy, tmp_path):
    from sentence_transformers import SentenceTransformer

    model = own_copy("st-dense")
    wanted = SentenceTransformer(str(model), device="cpu").encode(TEXTS)
    dense = next(model.glob("*_Dense"))
    if not (dense / "model.safetensors").is_file():
        pytest.skip("the library saved it in another format")
    sharded(model, ("layers-0.safetensors", "w/rest.safetensors"))
    artifact = hfspec.compile(write_spec(tmp_path / "s", model), output=tmp_path / "target")
    found = hfspec.load(artifact.path).predict(TEXTS)
    torch.testing.assert_close(torch.tensor(found.tolist()), torch.tensor(wanted.tolist()))
    ours = SentenceTransformer(str(artifact.path / "model"), device="cpu").encode(TEXTS)
    assert (ours == wanted).all()


def refusal(model: Path, place: Path) -> str:
    with pytest.raises(hfspec.SpecError) as caught:
        hfspec.plan(write_spec(place, model))
    return str(caught.value)


PLACES = {
    "above": "../elsewhere.safetensors",
    "absolute": "/etc/elsewhere.safetensors",
    "down and up": "w/../../x.safetensors",
    "a backslash": "w\\a.safetensors",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_shards_that_lie_outside(place, own_copy, tmp_path):
    model = sharded(own_copy("bert-sentiment"), NAMES["by layers"])
    index = json.loads((model / SAFETENSORS).read_text())
    index["weight_map"]["classifier.bias"] = place
    (model / SAFETENSORS).write_text(json.dumps(index))
    said = refusal(model, tmp_path)
    assert f"{SAFETENSORS} names weights outside of its folder: {place}" in said


WRONG = {
    "no files": ({"weight_map": {}}, "names no files"),
    "no map": ({"weight_map": None}, "has no weight_map"),
    "a list": ({"weight_map": ["layers-0.safetensors"]}, "has no weight_map"),
    "a number": ({"weight_map": {"a": 1}}, "names no file for the tensor a"),
    "an empty name": ({"weight_map": {"a": ""}}, "names no file for the tensor a"),
    "no metadata": ({"metadata": None}, "has no metadata"),
    "a file that is not there": ({"weight_map": {"a": "gone.safetensors"}}, "not there: gone.safetensors"),
    "two formats": ({"weight_map": {"a": "layers-0.safetensors", "b": "x.bin"}}, "two formats"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("index", [SAFETENSORS, BIN])
def test_an_index_that_no_model_is_loaded_from(index, case, own_copy, tmp_path):
    keys, said = WRONG[case]
    model = sharded(own_copy("bert-sentiment"), NAMES["by layers"], index, **keys)
    assert f"{index} {said}" in refusal(model, tmp_path) or said in refusal(model, tmp_path)


def test_a_broken_index_beside_other_weights_is_named(own_copy, tmp_path):
    """Nothing else is taken in its place: transformers would take the index."""
    model = sharded(own_copy("bert-sentiment"), NAMES["by layers"])
    sharded_again = {name: tensor for path in model.glob("layers-*") for name, tensor in load_file(path).items()}
    torch.save(sharded_again, model / "pytorch_model.bin")
    (model / SAFETENSORS).write_text('{"weight_map": ')
    assert f"{SAFETENSORS} is not valid JSON" in refusal(model, tmp_path)


def test_shards_of_a_repository(hub, own_copy, tmp_path, wanted):
    """The index is read before the files are chosen, and fetched once."""
    from tests.hub.repository import read_folder

    model = sharded(own_copy("bert-sentiment"), ("w/a b.safetensors", "consolidated-1.safetensors"))
    hub.publish("someone/sharded", {**read_folder(model), "w/unused.safetensors": b"x", "fp16.safetensors": b"x"})
    spec = write_spec(tmp_path / "s", model)
    spec.write_text(spec.read_text().replace(json.dumps({"path": str(model)}), '{"repo": "someone/sharded"}'))
    artifact = hfspec.compile(spec, output=tmp_path / "target")
    found = torch.tensor(hfspec.load(artifact.path).predict(TEXTS)["score"].tolist())
    torch.testing.assert_close(found, wanted)
    assert sorted(path.name for path in artifact.path.rglob("*.safetensors")) == [
        "a b.safetensors",
        "consolidated-1.safetensors",
    ]
