"""What generation_config.json says and what becomes of it: done, named in the plan, or refused before anything is
written.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

import hfspec
from hfspec.formats import generation_config as unused_settings
from hfspec.tasks import generation
from tests.compiling import write_spec

TEXT = "the film was"
WATERMARK = {"greenlist_ratio": 0.5, "bias": 9.0, "context_width": 1, "hashing_key": 7, "seeding_scheme": "lefthash"}


def model_with(own_copy, name: str, **keys: object) -> Path:
    model = own_copy(name)
    path = model / "generation_config.json"
    stated = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**stated, **keys}))
    return model


def plan(own_copy, tmp_path: Path, name: str = "gpt2", model_config: dict | None = None, **keys: object):
    spec = {"model_config": model_config} if model_config else {}
    return hfspec.plan(write_spec(tmp_path / "specs", model_with(own_copy, name, **keys), **spec))


def test_every_attribute_of_the_library_is_in_one_table():
    tables = (
        [setting.name for setting in generation.SETTINGS if setting.name not in generation.OUR_OWN],
        [*unused_settings.PASSED_ON, *unused_settings.SPEED, *unused_settings.OUTPUTS],
        [*unused_settings.GIVEN_AWAY, unused_settings.HEALING, *unused_settings.BOOKKEEPING],
    )
    names = [name for table in tables for name in table]
    assert len(names) == len(set(names))
    assert set(vars(GenerationConfig())) <= set(names)


def greedy(model: Path, **keys: object) -> str:
    words, library = AutoTokenizer.from_pretrained(model), AutoModelForCausalLM.from_pretrained(model)
    rows = words(TEXT, return_tensors="pt")
    with torch.inference_mode():
        made = library.generate(**rows, max_new_tokens=12, pad_token_id=0, **keys)[0]
    return words.decode(made[rows["input_ids"].shape[1] :], skip_special_tokens=True)


def answer(model: Path, place: Path, **keys: object) -> str:
    hfspec.compile(write_spec(place / "specs", model, **keys), output=place / "artifact")
    return hfspec.load(place / "artifact").predict([TEXT, "a"], outputs="full")[0]["text"].removeprefix(TEXT)


REFUSED = {"do_sample": False, "num_return_sequences": 2}


@pytest.mark.parametrize("mended", [{"num_beams": 2}, {"num_return_sequences": 1}, {"do_sample": True}], ids=str)
def test_a_config_that_the_library_refuses_and_the_spec_mends(own_copy, tmp_path, mended):
    model = model_with(own_copy, "gpt2", **REFUSED)
    keys = {"model_config": {**mended, "max_new_tokens": 4}, "input_example": [TEXT]}
    spec = write_spec(tmp_path / "specs", model, **keys)
    assert "as the source has it" in " ".join(hfspec.plan(spec).notes)
    folder = hfspec.compile(spec, tmp_path / "artifact").path
    found = hfspec.load(folder).predict([TEXT])
    (model / "generation_config.json").unlink()
    library, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    wanted = {"num_return_sequences": 2, **mended, "max_new_tokens": 4, "pad_token_id": 0}
    rows = library.generate(**tokenizer(TEXT, return_tensors="pt"), **wanted)
    assert len(found) == len(rows)
    if "do_sample" not in mended:
        texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
        assert list(found) == texts


@pytest.mark.parametrize("other", [{}, {"num_beams": 1}, {"num_return_sequences": 3}], ids=str)
def test_a_config_that_the_library_refuses_and_the_spec_does_not_mend(own_copy, tmp_path, other):
    with pytest.raises(hfspec.SpecError, match=r"library refuses generation_config\.json: .*set under model_config"):
        plan(own_copy, tmp_path, model_config=other or {"max_new_tokens": 4}, **REFUSED)


@pytest.mark.parametrize("heat", [0.0, 0])
def test_temperature_0_is_the_likeliest_token(heat, checkpoint, own_copy, tmp_path):
    expected = greedy(checkpoint("gpt2"), do_sample=False)
    model = model_with(own_copy, "gpt2", do_sample=True, temperature=heat)
    assert answer(model, tmp_path) == expected


@pytest.mark.parametrize(
    "keys",
    [
        {"sequence_bias": [[[5], 50.0]]},
        {"watermarking_config": WATERMARK},
        {"return_dict_in_generate": True, "output_scores": True, "num_beams": 2},
        {"prompt_lookup_num_tokens": 3},
        {"num_beam_groups": 2, "diversity_penalty": 0.5},
        {"cache_implementation": "static"},
    ],
)
def test_what_the_library_does_by_itself_is_done(keys, checkpoint, own_copy, tmp_path):
    model = model_with(own_copy, "gpt2", **keys)
    expected = greedy(checkpoint("gpt2"), **{k: v for k, v in keys.items() if k in {"num_beams", "sequence_bias"}})
    if "watermarking_config" in keys:
        expected = greedy(model)
    assert answer(model, tmp_path) == expected
    notes = " ".join(hfspec.plan(write_spec(tmp_path / "again", model)).notes)
    assert all(name in notes for name in keys if name != "num_beams")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"num_beams": 2, "num_beam_groups": 2, "diversity_penalty": 0.5}, "num_beam_groups"),
        ({"force_words_ids": [[5]], "num_beams": 2}, "force_words_ids"),
        ({"constraints": [1], "num_beams": 2}, "constraints"),
        ({"token_healing": True}, "token_healing"),
        ({"penalty_alpha": 0.6, "top_k": 4}, "penalty_alpha"),
        ({"penalty_alpha": 0.6}, "penalty_alpha"),
        ({"dola_layers": "high"}, "dola_layers"),
        ({"num_return_sequences": 3}, "num_return_sequences"),
        ({"do_sample": True, "temperature": -1.0}, "temperature"),
        ({"do_sample": True, "top_k": -3}, "top_k"),
        ({"repetition_penalty": -1.0}, "penalty"),
        ({"bad_words_ids": [5]}, "bad_words_ids"),
        ({"sequence_bias": [[5, 1.0]]}, "sequence_bias"),
        ({"exponential_decay_length_penalty": 3}, "cannot generate"),
    ],
)
@pytest.mark.parametrize("name", ["gpt2"])
def test_what_would_make_every_request_fail_is_refused(name, keys, said, own_copy, tmp_path):
    with pytest.raises(hfspec.SpecError) as caught:
        plan(own_copy, tmp_path, name, **keys)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "model_config"),
    [
        ({"num_beams": 2, "num_beam_groups": 2}, {"num_beams": 1}),
        ({"penalty_alpha": 0.6, "top_k": 4}, {"do_sample": True}),
        ({"penalty_alpha": 0.6}, {"top_k": 1}),
        ({"do_sample": True, "temperature": -1.0}, {"temperature": 0.5}),
    ],
)
def test_what_the_spec_sets_right_is_planned(keys, model_config, own_copy, tmp_path):
    assert plan(own_copy, tmp_path, model_config=model_config, **keys)


def test_a_key_that_nothing_comes_of_is_named(own_copy, tmp_path):
    notes = " ".join(plan(own_copy, tmp_path, custom_generate="me/mine", chat_format="chatml").notes)
    assert "custom_generate" in notes
    assert "chat_format" in notes


def test_a_plain_generation_config_has_no_notes(own_copy, tmp_path):
    assert "generation_config.json" not in " ".join(plan(own_copy, tmp_path).notes)
