"""MLflow's python_function answers as hfspec does: every task, every form of input, params and settings."""

from __future__ import annotations

import inspect
import json

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.types import llm

import hfspec
from hfspec.settings.load_arguments import LOAD_ARGUMENTS
from hfspec.tasks import table
from tests.mlflow.deployments import DEPLOYMENTS, HELLO, ST

# Of the libraries' own calls, as in the tests of these tasks: a standard deviation inside wav2vec2, sacremoses.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::ResourceWarning")
EACH = pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda deployment: deployment.name)


def same(found, expected):
    """Equal values of equal types; times and ids of answers of the OpenAI API apart."""
    assert type(found) is type(expected)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert np.array_equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key in expected.keys() - {"id", "created"}:
            same(found[key], expected[key])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    else:
        assert found == expected


@EACH
def test_answers_every_form_of_input(deployment, artifact):
    folder = artifact(deployment)
    model, predictor = mlflow.pyfunc.load_model(str(folder)), hfspec.load(folder)
    for data in deployment.forms():
        same(model.predict(data), predictor.predict(data))
    if deployment.chosen:
        data = deployment.example
        expected = predictor.predict(data, deployment.chosen)
        same(model.predict(data, params=deployment.chosen), expected)
        assert str(expected) != str(predictor.predict(data))


@EACH
def test_shows_the_signature_and_an_example_that_works(deployment, artifact):
    folder = artifact(deployment)
    predictor, meta = hfspec.load(folder), mlflow.models.Model.load(str(folder))
    signature = predictor.signature
    assert meta.signature.inputs.input_names() == [column.name for column in signature.inputs]
    assert meta.signature.inputs.required_input_names() == [each.name for each in signature.inputs if each.required]
    assert meta.signature.outputs.is_tensor_spec() == isinstance(signature.outputs, hfspec.ir.signature.Tensor)
    shown = {param.name: param.default for param in meta.signature.params.params} if meta.signature.params else {}
    assert shown == {param.name: param.default for param in signature.params}
    example = meta.load_input_example(str(folder))
    assert example == deployment.example
    model = mlflow.pyfunc.load_model(str(folder))
    assert model.input_example == example
    same(model.predict(example), predictor.predict(example))
    posted = mlflow.models.convert_input_example_to_serving_input(example)
    served = mlflow.models.utils._validate_serving_input(str(folder), posted)
    same(served, predictor.predict(example))


SCHEMAS = [
    ("llm/v1/chat", "transformers", llm.CHAT_MODEL_INPUT_SCHEMA, llm.CHAT_MODEL_OUTPUT_SCHEMA),
    ("llm/v1/completions", "transformers", llm.COMPLETIONS_MODEL_INPUT_SCHEMA, llm.COMPLETIONS_MODEL_OUTPUT_SCHEMA),
    ("llm/v1/embeddings", "transformers", llm.EMBEDDING_MODEL_INPUT_SCHEMA, llm.EMBEDDING_MODEL_OUTPUT_SCHEMA),
    ("llm/v1/embeddings", ST, llm.EMBEDDING_MODEL_INPUT_SCHEMA, llm.EMBEDDING_MODEL_OUTPUT_SCHEMA),
]


@pytest.mark.parametrize(("task", "library", "inputs", "outputs"), SCHEMAS)
def test_the_openai_api_is_typed_as_mlflow_types_it(task, library, inputs, outputs, of_task):
    signature = mlflow.models.Model.load(str(of_task(task, library))).signature
    own, columns = signature.inputs.input_dict(), inputs.input_dict()
    assert {name: own[name] for name in columns.keys() & own.keys()} == {
        name: columns[name] for name in columns.keys() & own.keys()
    }
    assert columns.keys() - own.keys() <= {"top_k", "custom_inputs"}  # no keys of requests here
    assert signature.outputs == outputs


def test_outputs_that_the_spec_declares_are_shown_instead(checkpoint, tmp_path):
    spec = {"spec_version": 1, "library": "transformers", "task": "llm/v1/chat", "outputs": "full"}
    file = tmp_path / "chat.yaml"
    file.write_text(json.dumps({**spec, "model": {"path": str(checkpoint("llama-chat"))}}))
    assert hfspec.plan(file).signature.outputs == (hfspec.ir.signature.Column("any"),)


def test_a_conversation_is_answered_as_a_request_and_as_its_messages_alone(of_task):
    folder = of_task("llm/v1/chat")
    model, predictor = mlflow.pyfunc.load_model(str(folder)), hfspec.load(folder)
    drawn = {"temperature": 2, "seed": 1, "stop": "x"}
    said = [{"role": "user", "content": [{"type": "text", "text": "hello"}], "name": "ann"}]
    for messages in (HELLO, said):
        expected = predictor.predict({"messages": messages})
        for data in (messages, {"messages": messages}):
            same(model.predict(data), expected)
        for data in ([messages], [{"messages": messages}], pd.DataFrame({"messages": [messages]})):
            same(model.predict(data), [expected])
        chunks = list(predictor.predict({"messages": messages, "stream": True, **drawn}))
        same(list(model.predict_stream({"messages": messages, **drawn})), chunks)
    with pytest.raises(MlflowException, match="logit_bias is not supported"):
        list(model.predict_stream({"messages": HELLO, "logit_bias": {"5": 1}}))
    for wrong in ([{"role": "user"}], {"messages": "hello", "mesages": 1}, [{"role": 1, "content": "x"}]):
        with pytest.raises(MlflowException):
            model.predict(wrong)


@pytest.mark.parametrize("deployment", [each for each in DEPLOYMENTS if each.settings], ids=lambda each: each.name)
def test_settings_given_to_load(deployment, artifact):
    folder = artifact(deployment)
    model = mlflow.pyfunc.load_model(str(folder), model_config=deployment.settings)
    expected = hfspec.load(folder, model_config=deployment.settings).predict(deployment.example)
    same(model.predict(deployment.example), expected)
    assert str(expected) != str(hfspec.load(folder).predict(deployment.example))


def test_all_that_load_can_be_told_is_listed(of_task):
    listed = mlflow.pyfunc.load_model(str(of_task("text-classification"))).model_config
    settings = {"batch_tokens": None, "function_to_apply": None, "top_k": 1, "truncation": None}
    assert listed == {**settings, **dict.fromkeys(LOAD_ARGUMENTS)}
    named = {setting.name for library, name in table.TASKS for setting in table.find(library, name).settings}
    assert named.isdisjoint(LOAD_ARGUMENTS)
    assert {"folder", "model_config", *LOAD_ARGUMENTS} == set(inspect.signature(hfspec.load).parameters)


def test_arguments_of_load(of_task):
    folder = of_task("text-classification")
    given = {"dtype": "bfloat16", "outputs": "full", "device": "cpu"}
    model = mlflow.pyfunc.load_model(str(folder), model_config=given)
    expected = hfspec.load(folder, **given).predict("a fine film")
    same(model.predict("a fine film"), expected)
    assert expected != hfspec.load(folder, outputs="full").predict("a fine film")
    with pytest.raises(hfspec.UsageError, match="dtype must be one of"):
        mlflow.pyfunc.load_model(str(folder), model_config={"dtype": "half"})
    with pytest.raises(hfspec.UsageError, match="backend must be one of"):
        mlflow.pyfunc.load_model(str(folder), model_config={"backend": "onnx"})


def test_the_expected_fingerprint(of_task):
    folder = of_task("feature-extraction", "sentence-transformers")
    fingerprint = hfspec.load(folder).fingerprint
    model = mlflow.pyfunc.load_model(str(folder), model_config={"expect_fingerprint": fingerprint})
    same(model.predict(["a"]), hfspec.load(folder).predict(["a"]))
    short = hfspec.load(folder, model_config={"truncate_dim": 4}).fingerprint
    cut = {"expect_fingerprint": short, "truncate_dim": 4}
    assert mlflow.pyfunc.load_model(str(folder), model_config=cut).predict(["a"]).shape == (1, 4)
    for wrong in ({"expect_fingerprint": fingerprint, "truncate_dim": 4}, {"expect_fingerprint": "0" * 64}):
        with pytest.raises(hfspec.VerificationError, match="the embedding space is not the expected one"):
            mlflow.pyfunc.load_model(str(folder), model_config=wrong)
    with pytest.raises(hfspec.VerificationError, match="gives no embeddings"):
        mlflow.pyfunc.load_model(str(of_task("text-classification")), model_config={"expect_fingerprint": fingerprint})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"threads": 0}, "threads must be a number"),
        ({"device_map": "everywhere"}, "device_map must be one of"),
        ({"verify": False}, "verify must be true"),
        ({"verify": 0}, "verify must be true"),
        ({"trust_remote_code": "yes"}, "trust_remote_code must be true or false"),
    ],
)
def test_arguments_of_load_are_honoured_or_refused(given, message, of_task):
    folder = of_task("text-classification")
    with pytest.raises(hfspec.UsageError, match=message):
        mlflow.pyfunc.load_model(str(folder), model_config=given)
    agreed = {"verify": True, "trust_remote_code": False, "threads": torch.get_num_threads()}
    same(mlflow.pyfunc.load_model(str(folder), model_config=agreed).predict("a"), hfspec.load(folder).predict("a"))


def test_settings_that_load_refuses(of_task):
    with pytest.raises(hfspec.ParamsError, match="top_k: expected integer or null"):
        mlflow.pyfunc.load_model(str(of_task("text-classification")), model_config={"top_k": "two"})
    with pytest.raises(hfspec.ParamsError, match="wins over model_config at every call"):
        mlflow.pyfunc.load_model(str(of_task("text-classification")), model_config={"function_to_apply": "none"})


REFUSED = [
    (3, "expected text, a list of texts"),
    (None, "expected text, a list of texts"),
    (["a", None], "row 1: column 'text': the value is missing"),
    ([1], "row 0: column 'text': expected text"),
    ({"txet": "a"}, "did you mean 'txet' to be 'text'"),
    (pd.DataFrame({"id": ["x"], "note": ["a"]}), "the column 'text' is missing; the columns given are 'id', 'note'"),
    (pd.DataFrame([["a", "b"]], columns=["text", "text"]), "columns of the same name"),
    (np.array([["a", "b", "c"]]), "an array of shape"),
]


@pytest.mark.parametrize(("data", "message"), REFUSED, ids=lambda each: type(each).__name__)
def test_input_that_is_refused(data, message, of_task):
    model = mlflow.pyfunc.load_model(str(of_task("text-classification")))
    with pytest.raises(MlflowException, match=message) as caught:
        model.predict(data)
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"
    assert isinstance(caught.value.__cause__, hfspec.InputError)


@pytest.mark.parametrize("value", ["2", 2.0, True, None, 0, 21, 10**30])
def test_params_that_are_refused(value, of_task):
    model = mlflow.pyfunc.load_model(str(of_task("text-generation")))
    with pytest.raises(MlflowException, match="max_new_tokens") as caught:
        model.predict("a", params={"max_new_tokens": value})
    assert caught.value.error_code == "INVALID_PARAMETER_VALUE"


def test_params_that_mlflow_leaves_out_with_a_warning(of_task, caplog):
    """They never reach the predictor, which would refuse them."""
    model = mlflow.pyfunc.load_model(str(of_task("text-generation")))
    mlflow_logger = mlflow.models.utils._logger
    mlflow_logger.addHandler(caplog.handler)
    try:
        assert model.predict("a", params={"max_new_token": 2}) == model.predict("a")
    finally:
        mlflow_logger.removeHandler(caplog.handler)
    assert "Unrecognized params ['max_new_token'] are ignored" in caplog.text


def test_defaults_that_mlflow_adds_are_not_what_the_caller_chose(artifact, tmp_path, checkpoint):
    """A temperature that somebody chose turns sampling on; one that is only the default leaves do_sample as it is."""
    params = {"temperature": 0.9, "do_sample": False, "seed": 3, "max_tokens": 8}
    spec = {"spec_version": 1, "library": "transformers", "task": "llm/v1/chat", "signature": {"params": params}}
    file = tmp_path / "chat.yaml"
    file.write_text(json.dumps({**spec, "model": {"path": str(checkpoint("llama-chat"))}}))
    folder = hfspec.compile(file, output=tmp_path / "artifact", run=False).path
    model, predictor = mlflow.pyfunc.load_model(str(folder)), hfspec.load(folder)
    for given in ({}, {"seed": 4}, {"temperature": 2.0}, {"do_sample": True}):
        same(model.predict({"messages": HELLO}, params=given), predictor.predict({"messages": HELLO}, given))
    hot = predictor.predict({"messages": HELLO}, {"temperature": 2.0})["choices"]
    assert hot != predictor.predict({"messages": HELLO}, {**params, "temperature": 2.0})["choices"]


STREAMS = [
    ("llm/v1/chat", {"messages": HELLO, "max_tokens": 3}),
    ("llm/v1/chat", {"messages": [*HELLO, {"role": "assistant", "content": "yes"}, *HELLO], "stop": "x", "n": 2}),
    ("llm/v1/chat", {"messages": HELLO, "max_tokens": 3, "stream_options": {"include_usage": True}}),
    ("llm/v1/completions", {"prompt": "a fine", "max_tokens": 3}),
    ("llm/v1/completions", {"prompt": ["a", "b"], "stop": ["x"], "stream_options": {"include_usage": True}}),
]


@pytest.mark.parametrize(("task", "request_body"), STREAMS)
def test_streams(task, request_body, of_task):
    folder = of_task(task)
    chunks = list(mlflow.pyfunc.load_model(str(folder)).predict_stream(request_body))
    same(chunks, list(hfspec.load(folder).predict({**request_body, "stream": True})))
    assert len(chunks) > 2


def test_streams_with_params(of_task):
    model = mlflow.pyfunc.load_model(str(of_task("llm/v1/chat")))
    chunks = list(model.predict_stream({"messages": HELLO}, params={"max_tokens": 1}))
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    with pytest.raises(MlflowException, match="at most 20"):
        list(model.predict_stream({"messages": HELLO}, params={"max_tokens": 21}))
    with pytest.raises(MlflowException, match=r"row 0: .*content"):
        list(model.predict_stream({"messages": [{"role": "user"}]}))


def test_predict_does_not_stream_and_other_tasks_have_no_stream(of_task):
    with pytest.raises(MlflowException, match="call predict_stream"):
        mlflow.pyfunc.load_model(str(of_task("llm/v1/chat"))).predict({"messages": HELLO, "stream": True})
    with pytest.raises(MlflowException, match="does not support predict_stream"):
        list(mlflow.pyfunc.load_model(str(of_task("text-generation"))).predict_stream("a"))


def test_a_whole_number_is_as_good_as_a_double(of_task):
    """JSON writes 2.0 as 2; the library takes floats only."""
    model, request = mlflow.pyfunc.load_model(str(of_task("llm/v1/chat"))), {"messages": HELLO, "seed": 1}
    for whole in (1, 2):
        answer = model.predict({**request, "temperature": whole})["choices"]
        assert answer == model.predict({**request, "temperature": float(whole)})["choices"]
