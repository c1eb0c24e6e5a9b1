"""Which layer wins, and what params and model_config may be."""

from __future__ import annotations

import numpy as np
import pytest

import hfspec
from hfspec.errors import ParamsError, UsageError


def tokens(predictor, params=None):
    return predictor.predict("hello", params=params, outputs="full")[0]["completion_tokens"]


def declared(default):
    return {"params": {"max_new_tokens": {"type": "long", "default": default, "minimum": 1, "maximum": 9}}}


# The checkpoint's generation_config.json says 12.
@pytest.mark.parametrize(
    ("spec", "at_load", "params", "expected"),
    [
        ({}, None, None, (12, "checkpoint")),
        ({"model_config": {"max_new_tokens": 2}}, None, None, (2, "model_config")),
        ({"model_config": {"max_new_tokens": 2}}, {"max_new_tokens": 3}, None, (3, "model_config given to load")),
        ({}, {"max_new_tokens": 3}, None, (3, "model_config given to load")),
        ({"signature": declared(4)}, None, None, (4, "signature.params default")),
        (
            {"model_config": {"max_new_tokens": 2}, "signature": declared(4)},
            None,
            None,
            (4, "signature.params default"),
        ),
        ({"signature": declared(4)}, {"max_new_tokens": 4}, None, (4, "signature.params default")),
        ({"signature": declared(4)}, None, {"max_new_tokens": 5}, (5, "params given to predict")),
        ({"signature": declared(4)}, None, {"max_new_tokens": np.int64(5)}, (5, "params given to predict")),
    ],
)
def test_the_highest_layer_wins(artifact, spec, at_load, params, expected):
    predictor = hfspec.load(artifact("llama-chat", **spec), model_config=at_load)
    assert predictor.settings(params)["max_new_tokens"] == expected
    assert tokens(predictor, params) == expected[0]


def test_settings_show_hfspecs_own_defaults(artifact):
    assert hfspec.load(artifact("gpt2")).settings()["truncation"] == (False, "hfspec default")


def test_a_model_config_at_load_that_a_signature_default_defeats_is_an_error(artifact):
    with pytest.raises(ParamsError) as caught:
        hfspec.load(artifact("llama-chat", signature=declared(4)), model_config={"max_new_tokens": 3})
    assert "max_new_tokens to 3" in str(caught.value)
    assert "default 4, which wins" in str(caught.value)


def test_a_key_of_model_config_only_cannot_be_set_by_predict(artifact):
    for predictor in (
        hfspec.load(artifact("llama-chat", model_config={"max_new_tokens": 2})),
        hfspec.load(artifact("llama-chat"), model_config={"max_new_tokens": 2}),
    ):
        with pytest.raises(ParamsError, match="'max_new_tokens' is set by model_config only"):
            predictor.predict("hello", params={"max_new_tokens": 3})


def test_an_undeclared_param_is_an_error_that_lists_the_declared_ones(artifact):
    predictor = hfspec.load(artifact("llama-chat", signature=declared(4)))
    with pytest.raises(ParamsError) as caught:
        predictor.predict("hello", params={"max_new_token": 3})
    assert "did you mean 'max_new_tokens'?" in str(caught.value)
    assert "declared params: max_new_tokens" in str(caught.value)
    with pytest.raises(ParamsError, match="the signature declares no params"):
        hfspec.load(artifact("llama-chat")).predict("hello", params={"top_k": 3})


PARAMS = {
    "params": {
        "max_new_tokens": {"type": "long", "default": 4, "minimum": 1, "maximum": 9},
        "temperature": {"type": "double", "default": 1.0},
        "do_sample": False,
        "handle_long_generation": {"type": "string", "default": "hole", "choices": ["hole"]},
    }
}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"max_new_tokens": "2"}, "expected a value of type long; found '2' (str)"),
        ({"max_new_tokens": 2.0}, "expected a value of type long; found 2.0 (float)"),
        ({"max_new_tokens": True}, "expected a value of type long; found True (bool)"),
        ({"max_new_tokens": None}, "expected a value of type long; found None"),
        ({"max_new_tokens": [2]}, "expected a value of type long; found [2] (list)"),
        ({"max_new_tokens": 0}, "expected at least 1; found 0"),
        ({"max_new_tokens": 10}, "expected at most 9; found 10"),
        ({"temperature": "hot"}, "expected a value of type double"),
        ({"temperature": True}, "expected a value of type double"),
        ({"temperature": 0}, "expected number, above 0; found 0"),
        ({"temperature": float("nan")}, "param temperature"),
        ({"do_sample": 1}, "expected a value of type boolean; found 1 (int)"),
        ({"do_sample": "true"}, "expected a value of type boolean"),
        ({"handle_long_generation": "cut"}, "expected one of 'hole'; found 'cut'"),
        ({"handle_long_generation": 1}, "expected a value of type string"),
        ([("max_new_tokens", 2)], "params must be a mapping"),
    ],
)
def test_params_are_checked_by_type_and_limits(artifact, params, expected):
    with pytest.raises(ParamsError) as caught:
        hfspec.load(artifact("llama-chat", signature=PARAMS)).predict("hello", params=params)
    assert expected in str(caught.value)


def test_an_int_is_good_for_a_double(artifact):
    value, origin = hfspec.load(artifact("llama-chat", signature=PARAMS)).settings({"temperature": 2})["temperature"]
    assert (value, type(value), origin) == (2.0, float, "params given to predict")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_new_token": 3}, "has no setting 'max_new_token' (did you mean 'max_new_tokens'?)"),
        ({"max_new_tokens": "3"}, "max_new_tokens: expected integer, at least 1; found '3' (str)"),
        ({"max_new_tokens": 0}, "expected integer, at least 1; found 0"),
        ({"top_p": 2}, "top_p: expected number"),
        ("max_new_tokens=3", "model_config must be a mapping"),
    ],
)
def test_model_config_at_load_is_checked(artifact, given, expected):
    with pytest.raises(ParamsError) as caught:
        hfspec.load(artifact("llama-chat"), model_config=given)
    assert expected in str(caught.value)


def test_the_form_of_output_is_chosen_by_call_then_load_then_spec(artifact):
    standard, full = artifact("gpt2"), artifact("gpt2", outputs="full")
    assert isinstance(hfspec.load(standard).predict("a")[0], str)
    assert isinstance(hfspec.load(full).predict("a")[0], dict)
    assert isinstance(hfspec.load(full, outputs="standard").predict("a")[0], str)
    assert isinstance(hfspec.load(full, outputs="standard").predict("a", outputs="full")[0], dict)
    with pytest.raises(UsageError, match="'standard' or 'full', not 'everything'"):
        hfspec.load(standard, outputs="everything")
    with pytest.raises(UsageError, match="not 'all'"):
        hfspec.load(standard).predict("a", outputs="all")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"default": 2, "minimum": 1, "maximum": 2}, "at most 2"),
        ({"default": 2, "choices": [1, 2]}, "one of 1, 2"),
        ({"default": 2, "minimum": 1}, None),
    ],
)
def test_null_lifts_no_limit_that_the_spec_sets(artifact, limits, expected):
    predictor = hfspec.load(artifact("bert-sentiment", signature={"params": {"top_k": {"type": "long", **limits}}}))
    if expected is None:
        assert len(predictor.predict("a fine film", params={"top_k": None})) >= 2
        return
    with pytest.raises(ParamsError, match=f"param top_k: expected {expected}; found None"):
        predictor.predict("a fine film", params={"top_k": None})
