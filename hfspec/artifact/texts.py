"""The files of an artifact that the compiler writes itself: spec, requirements, environments, MLmodel, predictor."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import hfspec
from hfspec.artifact.yaml_text import to_yaml
from hfspec.ir.artifact import FileRecord, canonical
from hfspec.ir.frozen import thaw
from hfspec.ir.plan import Plan
from hfspec.ir.signature import Column, Signature, Tensor
from hfspec.runtime.examples import GOLDEN, INPUT_EXAMPLE

PREDICTOR = "predictor.py"
PREDICTOR_TEXT = '''"""Run this model: python predictor.py "a text", or --help. It needs what requirements.txt lists."""

import sys
from pathlib import Path, PurePosixPath

sys.dont_write_bytecode = True
HERE = Path(__file__).resolve().parent
sys.path[:] = [str(HERE / "code"), *(place for place in sys.path if Path(place or ".").resolve() != HERE)]

from hfspec.runtime.command import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main(HERE, sys.argv[1:]))
'''
# The half of hfspec that runs an artifact; runtime/ and tasks/ whole.
RUNTIME_FILES = (
    "__init__.py",
    "errors.py",
    "ir/__init__.py",
    "ir/artifact.py",
    "ir/field_types.py",
    "ir/frozen.py",
    "ir/golden.py",
    "ir/problem.py",
    "ir/signature.py",
)
RUNTIME_FOLDERS = ("runtime", "tasks")
# A plain file where Python would make a folder for byte code: whoever imports code/, as MLflow does, writes none there,
# which verification would find, and reads none that somebody else put there.
NO_BYTECODE = "__pycache__"
NO_BYTECODE_TEXT = b"This file keeps Python from writing byte code into the artifact, and from reading any there.\n"


def generated(plan: Plan, files: Sequence[FileRecord]) -> dict[str, bytes]:
    """Path -> content of everything but the manifest and the files in ``files``, which are the plan's."""
    texts = {
        "spec.yaml": to_yaml(thaw(plan.spec_document)),
        "requirements.txt": "".join(f"{line}\n" for line in plan.requirements),
        "conda.yaml": to_yaml(_conda(plan)),
        "python_env.yaml": to_yaml(_python_env(plan)),
        "MLmodel": to_yaml(_mlmodel(plan, files)),
        PREDICTOR: PREDICTOR_TEXT,
    }
    contents = {path: text.encode() for path, text in texts.items()}
    if plan.input_example is not None:
        contents[INPUT_EXAMPLE] = _json(thaw(plan.input_example))
    if plan.golden:
        contents[GOLDEN] = _json([golden.to_json() for golden in plan.golden])
    return {**contents, **_runtime()}


def _runtime() -> dict[str, bytes]:
    """The runtime's files as they are installed, under code/, and in each folder the file that keeps byte code out."""
    package = Path(hfspec.__file__).parent
    folders = [path for name in RUNTIME_FOLDERS for path in sorted((package / name).rglob("*.py"))]
    paths = [*(package / name for name in RUNTIME_FILES), *folders]
    code = {PurePosixPath("code/hfspec", path.relative_to(package).as_posix()): path.read_bytes() for path in paths}
    closed = {path.parent / NO_BYTECODE: NO_BYTECODE_TEXT for path in code}
    return {path.as_posix(): content for path, content in (code | closed).items()}


def _conda(plan: Plan) -> dict[str, Any]:
    return {
        "name": "mlflow-env",
        "channels": ["conda-forge"],
        "dependencies": [f"python={plan.versions['python']}", "pip", {"pip": list(plan.requirements)}],
    }


def _python_env(plan: Plan) -> dict[str, Any]:
    return {"python": plan.versions["python"], "build_dependencies": ["pip"], "dependencies": ["-r requirements.txt"]}


def _mlmodel(plan: Plan, files: Sequence[FileRecord]) -> dict[str, Any]:
    """What MLflow reads (https://mlflow.org/docs/latest/ml/model/), without times and with an id by content."""
    content = canonical({"spec": plan.spec_digest, "files": [[record.path, record.sha256] for record in files]})
    example = {"saved_input_example_info": {"artifact_path": INPUT_EXAMPLE, "type": "json_object"}}
    return {
        "flavors": {
            "python_function": {
                "code": "code",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": "hfspec.runtime.mlflow_model",
                "python_version": plan.versions["python"],
            }
        },
        "metadata": {"hfspec": {"name": plan.name, "task": plan.deployment.task}},
        "model_size_bytes": sum(record.size for record in files),
        "model_uuid": hashlib.sha256(content).hexdigest()[:32],
        **(example if plan.input_example is not None else {}),
        "signature": _mlflow_signature(plan.signature),
    }


def _mlflow_signature(signature: Signature) -> dict[str, Any]:
    params = [
        {"name": param.name, "type": param.type, "default": thaw(param.default), "shape": None}
        for param in signature.params
    ]
    return {
        "inputs": _mlflow_inputs(signature.inputs),
        "outputs": json.dumps(_side(signature.outputs)),
        "params": json.dumps(params) if params else None,
    }


def _mlflow_inputs(side: tuple[Column, ...] | Tensor) -> str | None:
    """MLflow takes a bare text only where no column has a name, and then drops every column but the first without a
    word. So where columns may be left out it checks nothing, and the predictor, which takes both, checks all.
    """
    optional = isinstance(side, tuple) and not all(column.required for column in side)
    return None if optional else json.dumps(_side(side))


def _side(side: tuple[Column, ...] | Tensor) -> list[dict[str, Any]]:
    if isinstance(side, Tensor):
        return [{"type": "tensor", "tensor-spec": {"dtype": side.dtype, "shape": list(side.shape)}}]
    # MLflow's object wants its properties named, which a column does not; and MLflow takes a bare list of values only
    # for a column without a name.
    named = len(side) > 1
    return [
        {
            **({"name": column.name} if named and column.name else {}),
            "type": "any" if column.type == "object" else column.type,
            "required": column.required,
        }
        for column in side
    ]


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
