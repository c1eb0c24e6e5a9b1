"""A model of Triton's python backend that answers by the artifact beside it. Triton runs a copy of this file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

JSON_TYPES = ("any", "array", "object")


class TritonPythonModel:
    """One instance: it loads the artifact, by the code that the artifact brings, and verifies every byte."""

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the artifact, on the device of this instance."""
        folder = Path(args["model_repository"]) / args["model_version"] / "artifact"
        sys.path.insert(0, str(folder / "code" / "hfspec.zip"))
        from hfspec.errors import HfspecError
        from hfspec.runtime.load import load

        on_gpu = args["model_instance_kind"] == "GPU"
        self.refusals = (HfspecError, ValueError, KeyError)
        self.predictor = load(folder, device=f"cuda:{args['model_instance_device_id']}" if on_gpu else "cpu")
        config = json.loads(args["model_config"])
        self.outputs = {one["name"]: pb_utils.triton_string_to_numpy(one["data_type"]) for one in config["output"]}
        inputs = json.loads((folder / "artifact.json").read_text(encoding="utf-8"))["signature"]["inputs"]
        self.types = {one.get("name") or "input": one["type"] for one in inputs}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer the requests of a batch; those with the same params and columns in one call."""
        answers: list[Any] = [None] * len(requests)
        groups: dict[Any, list[tuple[int, list[dict[str, Any]]]]] = {}
        for place, request in enumerate(requests):
            try:
                rows = self._rows(request)
            except self.refusals as error:
                answers[place] = _error_response(error)
                continue
            key = (request.parameters() or "{}", tuple(rows[0]) if rows else ())
            groups.setdefault(key, []).append((place, rows))
        for (params, _), members in groups.items():
            for place, answer in self._answered(members, json.loads(params)):
                answers[place] = answer
        return answers

    def _answered(self, members: list[tuple[int, list[dict[str, Any]]]], params: Any) -> list[tuple[int, Any]]:
        """Each request's answer. Where the batch cannot be answered, each request gets a call of its own."""
        rows = [row for _, own in members for row in own]
        try:
            answer = self.predictor.predict_json(rows, params)
            if len(answer) != len(rows):
                raise ValueError(f"{len(rows)} rows have {len(answer)} lines of answers, which no tensor of rows holds")
            return [(place, self._response([answer.pop(0) for _ in own])) for place, own in members]
        except self.refusals as error:
            if len(members) == 1:
                return [(members[0][0], _error_response(error))]
            return [answer for member in members for answer in self._answered([member], params)]

    def _rows(self, request: Any) -> list[dict[str, Any]]:
        columns = {}
        for name, kind in self.types.items():
            tensor = pb_utils.get_input_tensor_by_name(request, name)
            if tensor is not None:
                columns[name] = [_cell(value, kind) for value in tensor.as_numpy().reshape(-1).tolist()]
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]

    def _response(self, answer: Any) -> Any:
        has_names = len(self.outputs) > 1 or all(
            isinstance(row, dict) and set(row) >= set(self.outputs) for row in answer
        )
        tensors = []
        for name, dtype in self.outputs.items():
            cells = [row[name] for row in answer] if has_names else answer
            if np.dtype(dtype) == np.object_:
                cells = [_text(cell).encode() for cell in cells]
            array = np.array(cells, dtype=dtype)
            tensors.append(pb_utils.Tensor(name, array.reshape(len(answer), -1)))
        return pb_utils.InferenceResponse(output_tensors=tensors)


def _cell(value: Any, kind: str) -> Any:
    """A tensor's value as predict takes it in a column of this type."""
    if not isinstance(value, bytes) or kind == "binary":
        return value
    text = value.decode("utf-8")
    return json.loads(text) if kind in JSON_TYPES and text.lstrip()[:1] in ("{", "[") else text


def _text(cell: Any) -> str:
    return cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)


def _error_response(error: Exception) -> Any:
    message = " ".join(str(error).split()) or type(error).__name__
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message, pb_utils.TritonError.INVALID_ARG))
