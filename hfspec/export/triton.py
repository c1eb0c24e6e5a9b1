"""A model repository of Triton: the python backend around the artifact's predictor."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from hfspec.errors import HfspecError, UsageError
from hfspec.export.engines import refuse
from hfspec.export.facts import Facts
from hfspec.export.writing import Files
from hfspec.inputs.row import Row
from hfspec.inputs.rows import Columns, to_rows
from hfspec.ir.frozen import thaw
from hfspec.ir.golden import INPUT_EXAMPLE
from hfspec.ir.signature import Column, Tensor

VERSION = "1"
# A column's type, by MLflow's name -> numpy's; other columns are texts, or JSON in one.
COLUMN_TYPES = MappingProxyType(
    {"boolean": "bool", "integer": "int32", "long": "int64", "float": "float32", "double": "float64"}
)
TYPES = MappingProxyType(
    {"bool": "BOOL", "float16": "FP16", "float32": "FP32", "float64": "FP64", "int8": "INT8", "uint8": "UINT8"}
    | {"int32": "INT32", "int64": "INT64"}
)


@dataclass(frozen=True, slots=True)
class Options:
    """``max_batch_size``: rows of a batch. ``gpu``: whether each instance has one; by default as the model needs."""

    max_batch_size: int = 64
    gpu: bool | None = None


def files(facts: Facts, options: Options) -> Files:
    """List the files of the repository.

    Args:
        facts: The artifact's facts.
        options: How Triton runs it.

    Returns:
        Path -> content.

    Raises:
        UsageError: For options that cannot be, and for everything that Triton cannot express.
    """
    if not 1 <= options.max_batch_size <= 65_536:
        raise UsageError(f"--max-batch-size is from 1 to 65536, not {options.max_batch_size}")
    if options.gpu:
        facts.check_gpu()
    refuse("triton", facts, _reasons(facts))
    warmup = _warmup(facts)
    place = f"{facts.name}/{VERSION}"
    artifact = {f"{place}/artifact/{path}": file for path, file in facts.under("").items()}
    return {
        f"{facts.name}/config.pbtxt": _text(config(facts, options, warmup)),
        f"{place}/model.py": Path(__file__).with_name("triton_model.py").read_text(encoding="utf-8"),
        **artifact,
        f"{place}/artifact/artifact.json": facts.folder / "artifact.json",
        **{f"{facts.name}/warmup/{_warmup_file(number)}": content for number, content in enumerate(warmup.values())},
    }


def notes(_: Facts, __: Options) -> Iterator[str]:
    """Remarks on the export, each a sentence."""
    yield f"Triton's Python needs what {VERSION}/artifact/requirements.txt lists; no Triton runs in hfspec's tests"


def config(facts: Facts, options: Options, warmup: Mapping[str, bytes]) -> dict[str, Any]:
    """The model's configuration, in the names of Triton's ModelConfig; a name of an enumeration stands in a tuple."""
    signature = facts.manifest.signature
    has_gpu = bool(facts.gpu_reason) if options.gpu is None else options.gpu
    message: dict[str, Any] = {
        "name": facts.name,
        "backend": "python",
        "max_batch_size": options.max_batch_size,
        "input": [{**_column(column, "input"), "optional": not column.required} for column in _inputs(facts)],
        "output": (
            [_tensor(signature.outputs)]
            if isinstance(signature.outputs, Tensor)
            else [_column(column, "output") for column in signature.outputs]
        ),
        "instance_group": [{"kind": ("KIND_GPU" if has_gpu else "KIND_CPU",), "count": 1}],
        "dynamic_batching": {},
    }
    if warmup:
        types = {entry["name"]: entry["data_type"] for entry in message["input"]}
        inputs = [
            {"key": name, "value": {"data_type": types[name], "dims": [1], "input_data_file": _warmup_file(number)}}
            for number, name in enumerate(warmup)
        ]
        message["model_warmup"] = [{"name": "input_example", "batch_size": 1, "inputs": inputs}]
    return message


def _reasons(facts: Facts) -> Iterator[str]:
    if facts.manifest.code:
        yield f"reviewed code: {', '.join(sorted(facts.manifest.code))}; Triton has nobody who could consent to run it"
    if isinstance(facts.manifest.signature.inputs, Tensor):
        yield "signature: its input is a tensor without columns"
    for name in ("num_return_sequences", "n", "top_k"):
        setting = facts.settings.get(name)
        several = name != "top_k" or not facts.generates
        if several and setting is not None and setting.value not in (None, 1):
            yield f"settings: {name} is {setting.value}, and a batch of Triton has one answer a row"


def _inputs(facts: Facts) -> tuple[Column, ...]:
    inputs = facts.manifest.signature.inputs
    return () if isinstance(inputs, Tensor) else inputs


def _column(column: Column, unnamed: str) -> dict[str, Any]:
    kind = TYPES[COLUMN_TYPES[column.type]] if column.type in COLUMN_TYPES else "STRING"
    return {"name": column.name or unnamed, "data_type": (f"TYPE_{kind}",), "dims": [1]}


def _tensor(tensor: Tensor) -> dict[str, Any]:
    kind = TYPES.get(tensor.dtype, "STRING")
    return {"name": "output", "data_type": (f"TYPE_{kind}",), "dims": list(tensor.shape[1:]) or [1]}


def _warmup(facts: Facts) -> dict[str, bytes]:
    """The first row of the input example as Triton reads tensors from files; none without an example."""
    example = facts.files.value(INPUT_EXAMPLE)
    if example is None:
        return {}
    inputs = Columns(facts.task, facts.manifest.signature.inputs, facts.manifest.deployment.prompt_template)
    try:
        row = to_rows(thaw(example), inputs)[0]
    except (HfspecError, IndexError):  # an example in a form that only predict takes
        return {}
    cells = {column.name or "input": (column, _cell(row, inputs, column)) for column in _inputs(facts)}
    if any(value is None and column.required for column, value in cells.values()):
        return {}
    return {name: _bytes(column, value) for name, (column, value) in cells.items() if value is not None}


def _warmup_file(number: int) -> str:
    return f"column-{number}"


def _cell(row: Row, inputs: Columns, column: Column) -> Any:
    name = column.name or inputs.names[0]
    return row.values.get(inputs.target.get(name, name))


def _bytes(column: Column, value: Any) -> bytes:
    if column.type in COLUMN_TYPES:
        return np.array([value], dtype=COLUMN_TYPES[column.type]).tobytes()
    text = value if isinstance(value, bytes) else (value if isinstance(value, str) else json.dumps(value)).encode()
    return struct.pack("<I", len(text)) + text


def _text(value: Mapping[str, Any], indent: str = "") -> str:
    """A message in protobuf's text form."""
    return "".join(
        _field(name, each, indent)
        for name, item in value.items()
        for each in (item if isinstance(item, list) else [item])
    )


def _field(name: str, value: Any, indent: str) -> str:
    if isinstance(value, Mapping):
        return f"{indent}{name} {{\n{_text(value, indent + '  ')}{indent}}}\n"
    if isinstance(value, tuple):
        return f"{indent}{name}: {value[0]}\n"
    return f"{indent}{name}: {json.dumps(value, ensure_ascii=False)}\n"
