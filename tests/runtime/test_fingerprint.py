"""The fingerprint of an embedding space: the same after what changes nothing, another after any change of meaning."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

import hfspec
from hfspec.errors import VerificationError
from hfspec.runtime.command import main
from tests.checkpoints.cross_encoders import change_json
from tests.runtime.texts import PLAIN

DENSE, SPARSE = ("st-dense", "feature-extraction"), ("splade", "sparse-embedding")


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., Path]:
    """``compiled(folder, task, **keys)``: the artifact of a checkpoint, compiled anew."""
    count = iter(range(1000))

    def get(folder: Path, task: str, **keys: object) -> Path:
        place = tmp_path / f"compile-{next(count)}"
        place.mkdir()
        spec = {"spec_version": 1, "library": "sentence-transformers", "task": task, "model": {"path": str(folder)}}
        (place / "spec.yaml").write_text(json.dumps({**spec, **keys}), encoding="utf-8")
        return hfspec.compile(place / "spec.yaml", output=place / "artifact", run=False).path

    return get


@pytest.fixture
def own_copy(checkpoint, tmp_path: Path) -> Callable[..., Path]:
    return lambda name, copy="own": Path(shutil.copytree(checkpoint(name), tmp_path / copy))


def mark(artifact: Path) -> str:
    found = json.loads((artifact / "artifact.json").read_text(encoding="utf-8"))["fingerprint"]
    assert len(found) == 64
    return found


def change_tensor(path: Path, name: str, change: Callable[[object], object]) -> None:
    tensors = load_file(path)
    tensors[name] = change(tensors[name])
    save_file(tensors, path, metadata={"format": "pt"})


def longer(tensors: Path) -> None:
    """One bit of one weight."""
    change_tensor(tensors / "model.safetensors", "embeddings.word_embeddings.weight", nudged)


def nudged(value):
    value = value.clone()
    value.view(-1)[3] += 1e-6
    return value


def tokenizer_change(folder: Path) -> None:
    path = folder / "tokenizer.json"
    value = json.loads(path.read_text(encoding="utf-8"))
    vocabulary = value["model"]["vocab"]
    one, other = list(vocabulary)[-2:]
    vocabulary[one], vocabulary[other] = vocabulary[other], vocabulary[one]
    path.write_text(json.dumps(value), encoding="utf-8")


def modules_change(folder: Path) -> None:
    """Without its last module, which scales each embedding to length 1."""
    path = folder / "modules.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:-1]))


MEANING: dict[str, Callable[[Path], None]] = {
    "a weight": longer,
    "a weight of a later module": lambda folder: change_tensor(
        folder / "2_Dense" / "model.safetensors", "linear.bias", nudged
    ),
    "the vocabulary": tokenizer_change,
    "the tokenizer's settings": lambda folder: change_json(folder / "tokenizer_config.json", do_lower_case=False),
    "pooling": lambda folder: change_json(
        folder / "1_Pooling" / "config.json", pooling_mode_cls_token=False, pooling_mode_max_tokens=True
    ),
    "whether the prompt is pooled": lambda folder: change_json(
        folder / "1_Pooling" / "config.json", include_prompt=False
    ),
    "an activation": lambda folder: change_json(
        folder / "2_Dense" / "config.json", activation_function="torch.nn.modules.linear.Identity"
    ),
    "normalisation": modules_change,
    "max_seq_length": lambda folder: change_json(folder / "sentence_bert_config.json", max_seq_length=31),
    "lower case": lambda folder: change_json(folder / "sentence_bert_config.json", do_lower_case=True),
    "a prompt's text": lambda folder: change_json(
        folder / "config_sentence_transformers.json", prompts={"query": "ask: ", "passage": ""}
    ),
    "the default prompt": lambda folder: change_json(
        folder / "config_sentence_transformers.json", default_prompt_name="query"
    ),
    "the checkpoint's truncate_dim": lambda folder: change_json(
        folder / "config_sentence_transformers.json", truncate_dim=7
    ),
    "the architecture's config": lambda folder: change_json(folder / "config.json", layer_norm_eps=1e-6),
}


@pytest.mark.parametrize("what", MEANING)
def test_a_change_of_the_checkpoints_meaning_changes_it(artifact, compiled, own_copy, what):
    folder = own_copy("st-dense")
    MEANING[what](folder)
    assert mark(compiled(folder, "feature-extraction")) != mark(artifact("st-dense"))


SETTINGS = [
    {"model_config": {"truncate_dim": 7}},
    {"model_config": {"truncate_dim": 8}},
    {"model_config": {"normalize_embeddings": True}},
    {"model_config": {"precision": "binary"}},
    {"model_config": {"precision": "ubinary"}},
    {"model_config": {"precision": "int8", "quantization_ranges": [[-1.0], [1.0]]}},
    {"model_config": {"precision": "int8", "quantization_ranges": [[-1.0], [2.0]]}},
    {"model_config": {"precision": "uint8", "quantization_ranges": [[-1.0], [1.0]]}},
    {"model_config": {"prompt": "instruct: "}},
    {"model_config": {"prompt_name": "query"}},
    {"signature": {"params": {"truncate_dim": 9}}},
    {"dtype": "bfloat16"},
    {"dtype": "float16"},
    {"components": {"tokenizer": {"options": {"model_max_length": 9}}}},
]


def test_each_setting_that_shapes_embeddings_gives_another(artifact, checkpoint, compiled):
    whole = {"tokenizer": {"path": str(checkpoint("st-dense")), "options": {"model_max_length": 9}}}
    specs = [{"components": whole} if "components" in keys else keys for keys in SETTINGS]
    found = [mark(compiled(checkpoint("st-dense"), "feature-extraction", **keys)) for keys in specs]
    assert len({*found, mark(artifact("st-dense"))}) == len(found) + 1


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"name": "another"},
        {"metadata": {"owner": "me"}},
        {"outputs": "full"},
        {"max_shard_size": "10KB"},
        {"model_config": {"batch_tokens": 7}},
        {"model_config": {"normalize_embeddings": False, "precision": "float32"}},
        {"model_config": {"truncate_dim": None}},
        {"model_config": {"role": "query"}},
        {"model_config": {"role": "document"}},
        {"signature": {"params": {"prompt_name": {"type": "string", "default": "query"}}}},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_what_changes_no_embedding_or_only_the_role_keeps_it(artifact, checkpoint, compiled, keys):
    made = compiled(checkpoint("st-dense"), "feature-extraction", **keys)
    assert mark(made) == mark(artifact("st-dense"))


def rename(folder: Path) -> Path:
    return folder.rename(folder.with_name("renamed"))


def other_layout(folder: Path) -> Path:
    (folder / "1_Pooling").rename(folder / "pool")
    entries = json.loads((folder / "modules.json").read_text())
    entries[1].update(path="pool", name="pooling", type="sentence_transformers.sentence_transformer.modules.Pooling")
    (folder / "modules.json").write_text(json.dumps(entries, indent=4))
    return folder


def other_bytes(folder: Path) -> Path:
    """The same values: JSON with other white space, tensors in a file with other metadata, another card."""
    for path in folder.rglob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=7), encoding="utf-8")
    save_file(
        load_file(folder / "model.safetensors"), folder / "model.safetensors", metadata={"format": "pt", "by": "me"}
    )
    change_json(folder / "config.json", _name_or_path="somewhere/else", transformers_version="4.1.0")
    (folder / "README.md").write_text("# Another card\n")
    return folder


def pickled(folder: Path) -> Path:
    import torch

    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    return folder


def pooling_as_now(folder: Path) -> Path:
    (folder / "1_Pooling" / "config.json").write_text('{"embedding_dimension": 32, "pooling_mode": "cls"}')
    return folder


@pytest.mark.parametrize("change", [rename, other_layout, other_bytes, pickled, pooling_as_now])
def test_names_places_and_layout_are_no_part_of_it(artifact, compiled, own_copy, change):
    folder = change(own_copy("st-dense"))
    assert mark(compiled(folder, "feature-extraction")) == mark(artifact("st-dense"))


@pytest.mark.parametrize(("name", "task"), [DENSE, SPARSE])
def test_it_moves_with_the_artifact_and_is_shown(artifact, tmp_path, capsys, name, task):
    from typer.testing import CliRunner

    from hfspec.cli.app import app

    moved = shutil.copytree(artifact(name), tmp_path / "moved")
    predictor = hfspec.load(moved)
    assert predictor.fingerprint == predictor.manifest.fingerprint == mark(artifact(name))
    assert predictor.task.name == task
    rows = predictor.predict_json([PLAIN, "other"], outputs="full")
    assert [row["fingerprint"] for row in rows] == [predictor.fingerprint] * 2
    shown = CliRunner().invoke(app, ["inspect", str(moved)])
    assert predictor.fingerprint in shown.output


def test_the_sparse_space_knows_its_own_settings(artifact, checkpoint, compiled, own_copy):
    whole = mark(artifact("splade"))
    assert mark(compiled(checkpoint("splade"), "sparse-embedding", model_config={"max_active_dims": 5})) != whole
    folder = own_copy("splade")
    change_json(folder / "1_SpladePooling" / "config.json", pooling_strategy="sum")
    assert mark(compiled(folder, "sparse-embedding")) != whole


def test_what_is_asked_of_load_counts_as_if_the_spec_said_it(artifact, checkpoint, compiled):
    settings = {"truncate_dim": 7, "normalize_embeddings": True, "prompt_name": "query"}
    written = compiled(checkpoint("st-dense"), "feature-extraction", model_config=settings)
    loaded = hfspec.load(artifact("st-dense"), model_config=settings)
    assert loaded.fingerprint == mark(written) != mark(artifact("st-dense"))
    assert loaded.predict([PLAIN], outputs="full")[0]["fingerprint"] == mark(written)
    assert hfspec.load(artifact("st-dense"), dtype="bfloat16").fingerprint != mark(artifact("st-dense"))


def test_a_call_that_asks_for_another_space_says_so(checkpoint, compiled):
    folder = compiled(checkpoint("st-dense"), "feature-extraction", signature={"params": {"truncate_dim": 24}})
    predictor = hfspec.load(folder)
    (whole,) = predictor.predict([PLAIN], outputs="full")
    (cut,) = predictor.predict([PLAIN], params={"truncate_dim": 7}, outputs="full")
    assert whole["fingerprint"] == predictor.fingerprint != cut["fingerprint"]
    assert len(cut["embedding"]) == 7


@pytest.mark.parametrize("library", ["sentence-transformers", "transformers"])
def test_openai_responses_carry_it(checkpoint, compiled, artifact, library):
    predictor = hfspec.load(compiled(checkpoint("st-dense"), "llm/v1/embeddings", library=library))
    assert predictor.fingerprint == mark(artifact("st-dense"))  # the same space, asked for by another task
    whole = predictor.predict({"input": [PLAIN, "b"]})
    cut = predictor.predict({"input": PLAIN, "dimensions": 7})
    assert whole["fingerprint"] == predictor.fingerprint != cut["fingerprint"]


def test_load_refuses_another_space_before_the_model_is_loaded(artifact, tmp_path, monkeypatch):
    from hfspec.runtime.sentences import sentence_encoder

    expected = mark(artifact("st-dense"))
    assert hfspec.load(artifact("st-dense"), expect_fingerprint=expected).predict([PLAIN]).shape == (1, 24)
    monkeypatch.setattr(sentence_encoder, "load_one_pass_model", lambda *_, **__: pytest.fail("the model was loaded"))
    for keys in ({"model_config": {"truncate_dim": 7}}, {"dtype": "bfloat16"}):
        with pytest.raises(VerificationError, match=expected):
            hfspec.load(artifact("st-dense"), expect_fingerprint=expected, **keys)
    with pytest.raises(VerificationError, match="the embedding space is not the expected one") as caught:
        hfspec.load(artifact("minilm-like"), expect_fingerprint=expected)
    assert mark(artifact("minilm-like")) in str(caught.value)
    with pytest.raises(VerificationError, match="gives no embeddings"):
        hfspec.load(artifact("ce-msmarco"), expect_fingerprint=expected)


@pytest.mark.parametrize("digits", [12, 20, 63])
def test_the_short_form_of_reports_is_taken(artifact, digits):
    short = mark(artifact("st-dense"))[:digits]
    assert hfspec.load(artifact("st-dense"), expect_fingerprint=short).fingerprint.startswith(short)
    with pytest.raises(VerificationError, match="the embedding space is not the expected one"):
        hfspec.load(artifact("minilm-like"), expect_fingerprint=short)


@pytest.mark.parametrize("cut", [lambda text: text[:11], lambda text: text[1:], lambda text: text + "0", lambda _: ""])
def test_what_could_be_another_spaces_is_refused(artifact, cut):
    with pytest.raises(VerificationError, match="the embedding space is not the expected one"):
        hfspec.load(artifact("st-dense"), expect_fingerprint=cut(mark(artifact("st-dense"))))


def test_the_predictors_command_line_checks_it(artifact, capsys):
    expected = mark(artifact("st-dense"))
    assert main(artifact("st-dense"), ["--expect-fingerprint", expected, PLAIN]) == 0
    assert np.array(json.loads(capsys.readouterr().out)).shape == (1, 24)
    assert main(artifact("minilm-like"), ["--expect-fingerprint", expected, PLAIN]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert expected in said.err


def test_other_tasks_have_none(artifact):
    for name in ("ce-msmarco", "bert-sentiment"):
        assert "fingerprint" not in json.loads((artifact(name) / "artifact.json").read_text())
        assert hfspec.load(artifact(name)).fingerprint is None
