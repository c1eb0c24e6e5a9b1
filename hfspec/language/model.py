"""A document as a typed spec, with the rules of its task: what the JSON Schema says, said in types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfspec.ir import spec_keys as keys
from hfspec.ir.spec import Spec
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES
from hfspec.tasks.task import Task


def parse_document(document: dict[str, Any]) -> Spec:
    """Read a document as a typed spec.

    Args:
        document: The document, in plain values.

    Returns:
        The spec.

    Raises:
        ValueError: The document is wrong; pydantic's error is one.
    """
    library = document.get("library")
    if not isinstance(library, str) or library not in LIBRARIES:
        raise ValueError(f"library must be one of {', '.join(LIBRARIES)}")
    spec: Spec = LIBRARIES[library].part("spec").model_validate(document)
    task = table.find(spec.answering, spec.task)
    if task is not None:
        _check_settings(task, spec)
    return spec


def parse_layered(document: dict[str, Any]) -> None:
    """Check a document that has ``defaults:``, as it stands in its file.

    Args:
        document: The document, in plain values.

    Raises:
        ValueError: The document is wrong.
    """
    from hfspec.language.layered import layered_spec

    layered_spec().model_validate(document)


def _check_settings(task: Task, spec: Spec) -> None:
    faults = [
        f"model_config.{name}: {fault}"
        for name, value in spec.inference.items()
        if (fault := _fault(task, name, value))
    ]
    defaults: Mapping[str, keys.Param] = spec.signature.params
    faults += [
        f"signature.params.{name}: {fault}"
        for name, param in defaults.items()
        if (fault := _fault(task, name, param.default))
    ]
    if faults:
        raise ValueError("; ".join(faults))


def _fault(task: Task, name: str, value: Any) -> str:
    setting = task.setting(name)
    return "no setting of this task" if setting is None else setting.fault(value)
