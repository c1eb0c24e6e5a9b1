"""Triton's model repository: its configuration, and its model.py run as the python backend runs it.

The server itself is no package; ``triton_python_backend_utils``, which it gives to model.py, is a stand-in here.
"""

from __future__ import annotations

import json
import os
import runpy
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import hfspec
from hfspec.export.exporting import export
from hfspec.export.triton import Options
from tests.compiling import tree_of, write_spec

TYPES = {"TYPE_STRING": np.object_, "TYPE_FP32": np.float32, "TYPE_FP64": np.float64, "TYPE_INT64": np.int64}
PARSE = """
import sys
from google.protobuf import json_format, text_format
from tritonclient.grpc import model_config_pb2
message = text_format.Parse(open(sys.argv[1], encoding="utf-8").read(), model_config_pb2.ModelConfig())
print(json_format.MessageToJson(message, preserving_proto_field_name=True))
"""


class Tensor:
    def __init__(self, name: str, values: Any) -> None:
        self.name, self.values = name, values

    def as_numpy(self) -> Any:
        return self.values


class Request:
    def __init__(self, params: dict[str, Any] | None = None, **columns: Any) -> None:
        self.columns = {name: Tensor(name, np.array([[cell] for cell in cells])) for name, cells in columns.items()}
        self.params = "" if params is None else json.dumps(params)

    def parameters(self) -> str:
        return self.params


class TritonError(Exception):
    INVALID_ARG = 3

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class InferenceResponse:
    def __init__(self, output_tensors: Any = (), error: TritonError | None = None) -> None:
        self.tensors = {tensor.name: tensor.values for tensor in output_tensors}
        self.error = error


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module: Any = ModuleType("triton_python_backend_utils")
    module.Tensor, module.InferenceResponse, module.TritonError = Tensor, InferenceResponse, TritonError
    module.get_input_tensor_by_name = lambda request, name: request.columns.get(name)
    module.triton_string_to_numpy = TYPES.__getitem__
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return module


@pytest.fixture
def started(backend: ModuleType, tmp_path: Path) -> Callable[[Path], Any]:
    """``started(artifact)``: its model.py, as Triton initialises it."""

    def start(artifact: Path) -> Any:
        export("triton", artifact, tmp_path / "repository", Options())
        (folder,) = [path for path in (tmp_path / "repository").iterdir() if path.is_dir()]
        model = runpy.run_path(str(folder / "1" / "model.py"))["TritonPythonModel"]()
        arguments = {"model_repository": str(folder), "model_version": "1", "model_instance_kind": "CPU"}
        model.initialize({**arguments, "model_instance_device_id": "0", "model_config": json.dumps(parsed(folder))})
        return model

    return start


def parsed(folder: Path) -> dict[str, Any]:
    """The configuration as Triton's own message has it; its outputs alone where tritonclient is not installed."""
    file = folder / "config.pbtxt"
    python = os.environ.get("HFSPEC_TRITON_PYTHON")
    if python is not None:
        said = subprocess.run([python, "-c", PARSE, file], capture_output=True, text=True, check=True, timeout=120)
        value: dict[str, Any] = json.loads(said.stdout)
        return value
    outputs = [part.partition("\n}")[0] for part in file.read_text().split("output {\n")[1:]]
    named = [
        {line.split(": ")[0].strip(): line.split(": ")[1].strip('"') for line in part.splitlines()} for part in outputs
    ]
    return {"output": named}


def texts(*values: str) -> list[bytes]:
    return [value.encode() for value in values]


def test_requests_of_a_batch_get_the_answers_of_the_predictor(compiled, started) -> None:
    model, predictor = started(compiled("bert-sentiment").path), hfspec.load(compiled("bert-sentiment").path)
    requests = [
        Request(text=texts("a fine film", "a dull one")),
        Request(text=texts("so so"), params={"function_to_apply": "none"}),
        Request(text=texts("a fine film"), text_pair=texts("seen twice")),
        Request(text=texts("so so")),
    ]
    answers = model.execute(requests)
    pair = [{"text": "a fine film", "text_pair": "seen twice"}]
    expected = [
        predictor.predict_json(["a fine film", "a dull one"]),
        None,
        predictor.predict_json(pair),
        predictor.predict_json(["so so"]),
    ]
    for answer, rows in zip(answers, expected, strict=True):
        if rows is None:  # a param that the artifact does not let callers change
            assert "function_to_apply" in str(answer.error)
            continue
        assert answer.error is None, answer.error
        assert [label.decode() for label in answer.tensors["label"][:, 0]] == [row["label"] for row in rows]
        np.testing.assert_allclose(answer.tensors["score"][:, 0], [row["score"] for row in rows], atol=1e-6)


def test_embeddings_are_a_tensor_of_rows_and_dimensions(compiled, started) -> None:
    artifact = compiled("minilm-like").path
    (answer,) = started(artifact).execute([Request(text=texts("a fine film", "a dull one"))])
    expected = hfspec.load(artifact).predict(["a fine film", "a dull one"])
    assert answer.tensors["output"].dtype == np.float32
    np.testing.assert_allclose(answer.tensors["output"], expected, atol=1e-6)


def test_a_request_that_is_wrong_fails_alone(compiled, started) -> None:
    model = started(compiled("bert-sentiment").path)
    wrong = Request(text=[b"\xff\xfe"])
    alone, bad, other = model.execute(
        [Request(text=texts("a fine film")), wrong, Request(text=texts("so so"), params={"x": 1})]
    )
    assert alone.error is None
    assert bad.error.code == other.error.code == TritonError.INVALID_ARG
    assert "x" in str(other.error)


def test_a_changed_weight_keeps_the_model_from_loading(compiled, started, tmp_path) -> None:
    started(compiled("bert-sentiment").path)
    folder = tmp_path / "repository" / compiled("bert-sentiment").manifest.name
    weights = folder / "1" / "artifact" / "model" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    model = runpy.run_path(str(folder / "1" / "model.py"))["TritonPythonModel"]()
    arguments = {"model_repository": str(folder), "model_version": "1", "model_instance_kind": "CPU"}
    with pytest.raises(hfspec.VerificationError, match=r"model\.safetensors"):
        model.initialize({**arguments, "model_instance_device_id": "0", "model_config": "{}"})


def test_the_configuration_is_a_model_config_of_triton(checkpoint, tmp_path) -> None:
    if "HFSPEC_TRITON_PYTHON" not in os.environ:
        pytest.skip("HFSPEC_TRITON_PYTHON names no Python with tritonclient; .ci/run makes one")
    spec = write_spec(tmp_path, checkpoint("bert-sentiment"), name="film.v2", input_example=[{"text": "a “fine” film"}])
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False).path
    export("triton", artifact, tmp_path / "out", Options(max_batch_size=8))
    folder = tmp_path / "out" / "film.v2"
    config = parsed(folder)
    assert (config["name"], config["backend"], config["max_batch_size"]) == ("film.v2", "python", 8)
    assert [(one["name"], one["data_type"], one.get("optional", False)) for one in config["input"]] == [
        ("text", "TYPE_STRING", False),
        ("text_pair", "TYPE_STRING", True),
    ]
    assert [one["data_type"] for one in config["output"]] == ["TYPE_STRING", "TYPE_FP64"]
    assert "dynamic_batching" in config
    assert config["instance_group"][0]["kind"] == "KIND_CPU"
    (warmup,) = config["model_warmup"]
    data = (folder / "warmup" / warmup["inputs"]["text"]["input_data_file"]).read_bytes()
    text = "a “fine” film".encode()
    assert data == struct.pack("<I", len(text)) + text
    tree = tree_of(artifact)
    assert tree_of(folder / "1" / "artifact") == tree


@pytest.mark.parametrize(
    ("keys", "options", "said"),
    [
        ({"model_config": {"top_k": 2}}, {}, "top_k is 2"),
        ({}, {"max_batch_size": 0}, "--max-batch-size"),
        ({"runtime": {"device": "cpu"}}, {"gpu": True}, "--gpu"),
    ],
    ids=str,
)
def test_what_triton_cannot_express_is_refused(keys, options, said, checkpoint, tmp_path) -> None:
    spec = write_spec(tmp_path, checkpoint("bert-sentiment"), **keys)
    artifact = hfspec.compile(spec, output=tmp_path / "artifact", run=False).path
    with pytest.raises(hfspec.UsageError, match=said):
        export("triton", artifact, tmp_path / "out", Options(**options))
    assert not (tmp_path / "out").exists()
