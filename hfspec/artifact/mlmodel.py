"""The artifact as MLflow reads it: its MLmodel file (https://mlflow.org/docs/latest/ml/model/)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from hfspec.artifact.mlflow_types import ANSWERS, answer_columns, column_type, declared_type
from hfspec.ir.artifact import FileRecord
from hfspec.ir.canonical import canonical
from hfspec.ir.frozen import thaw
from hfspec.ir.golden import INPUT_EXAMPLE
from hfspec.ir.plan import Flavor, Plan
from hfspec.ir.signature import Column, Signature, Tensor
from hfspec.settings.load_arguments import LOAD_ARGUMENTS, LOADER
from hfspec.tasks import table

CODE = "code/hfspec.zip"  # MLflow puts it on sys.path, and Python imports from it
# In the metadata of an artifact without its weights: the flavor that it has with them.
WHEN_FULL = "flavors_when_full"
# MLflow wants the properties of an object named.
PROPERTIES = MappingProxyType({"stream_options": ("include_usage", "include_obfuscation")})


def mlmodel(plan: Plan, files: Sequence[FileRecord]) -> dict[str, Any]:
    """The content of the file, without times and with an id by content.

    MLflow would change input before the predictor sees it: it takes bare text only for columns without names, of which
    it then drops all but the first, and it takes lists and tables apart. ``is_signature_from_type_hint`` is its mark of
    a model that checks input itself: the signature is shown, and the data reaches the predictor as it came.
    hfspec.runtime.io.mlflow_requests reads what MLflow's server would not read of such a model.
    """
    native = _native(plan)
    when_full = {WHEN_FULL: json.dumps(native)} if plan.pointers and native else {}
    example = {"saved_input_example_info": {"artifact_path": INPUT_EXAMPLE, "type": "json_object"}}
    return {
        "flavors": {"python_function": _flavor(plan), **({} if plan.pointers else native)},
        "is_signature_from_type_hint": True,
        "metadata": {"hfspec": {"name": plan.name, "task": plan.deployment.task, **when_full}},
        **identity(plan.spec_digest, files),
        **(example if plan.input_example is not None else {}),
        "signature": _signature(plan.signature, plan.deployment.task),
        "type_hint_from_example": False,
    }


def identity(spec_digest: str, files: Sequence[FileRecord]) -> dict[str, Any]:
    """The entries that follow from the spec and the bytes of ``files``, those of the model, sorted by path."""
    content = canonical({"spec": spec_digest, "files": [[record.path, record.sha256] for record in files]})
    return {
        "model_size_bytes": sum(record.size for record in files),
        "model_uuid": hashlib.sha256(content).hexdigest()[:32],
    }


def _flavor(plan: Plan) -> dict[str, Any]:
    """``config`` lists all that load can be told: MLflow lets a caller of load_model set only what stands there."""
    task = table.find(plan.deployment.library, plan.deployment.task)
    assert task is not None
    settings = thaw(plan.deployment.model_config)
    names = sorted([*LOAD_ARGUMENTS, *(setting.name for setting in task.settings)])
    streams = {"predict_stream_fn": "predict_stream", "streamable": True}
    return {
        "code": CODE,
        "config": {name: settings.get(name) for name in names},
        "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
        "loader_module": LOADER,
        "python_version": plan.versions["python"],
        **(streams if any(column.name == "stream" for column in task.inputs) else {}),
    }


def _native(plan: Plan) -> dict[str, Any]:
    """The flavor by which MLflow's own module of the library makes the library's object of the same files."""
    if plan.flavor is None:
        return {}
    if plan.flavor.name == "transformers":
        return {"transformers": _transformers(plan, plan.flavor)}
    flavor = {"code": CODE, "pipeline_model_type": plan.deployment.model_class, "source_model_name": plan.name}
    return {plan.flavor.name: flavor}


def _transformers(plan: Plan, pipeline: Flavor) -> dict[str, Any]:
    deployment = plan.deployment
    is_api = deployment.task in ANSWERS
    return {
        "components": list(pipeline.components),
        "instance_type": pipeline.class_name,
        "model_binary": "model",
        "pipeline_model_type": deployment.model_class,
        "source_model_name": plan.name,
        "task": pipeline.task,
        "torch_dtype": f"torch.{deployment.dtype}",
        "transformers_version": plan.versions["transformers"],
        **{f"{name}_type": deployment.components[name] for name in pipeline.components},
        **({"inference_task": deployment.task} if is_api else {}),
    }


def _signature(signature: Signature, task: str) -> dict[str, Any]:
    """As MLflow writes one. An answer of the OpenAI API that the spec says nothing else of has MLflow's own columns."""
    params = [
        {"name": param.name, "type": param.type, "default": thaw(param.default), "shape": None}
        for param in signature.params
    ]
    outputs = signature.outputs
    answer = None if isinstance(outputs, Tensor) else answer_columns(task, outputs)
    return {
        "inputs": json.dumps(_side(signature.inputs, task)),
        "outputs": json.dumps(_side(outputs, "") if answer is None else answer),
        "params": json.dumps(params) if params else None,
    }


def _side(side: tuple[Column, ...] | Tensor, task: str) -> list[dict[str, Any]]:
    if isinstance(side, Tensor):
        return [{"type": "tensor", "tensor-spec": {"dtype": side.dtype, "shape": list(side.shape)}}]
    return [_column(column, task) for column in side]


def _column(column: Column, task: str) -> dict[str, Any]:
    name = {"name": column.name} if column.name else {}
    return {**name, **_type(column, task), "required": column.required}


def _type(column: Column, task: str) -> Mapping[str, Any]:
    name = column.name or ""
    mlflows = column_type(task, name) if column.type == "any" else None
    if mlflows is not None:
        return mlflows
    if column.type != "object" or column.fields or name not in PROPERTIES:
        return declared_type(column)
    return {
        "type": "object",
        "properties": {key: {"type": "boolean", "required": False} for key in PROPERTIES[name]},
    }
