"""A plan for a person, or as JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hfspec.ir.artifact import SourceRecord, adapter_saved
from hfspec.ir.frozen import thaw
from hfspec.ir.plan import CopyFile, Plan, WriteBytes, WriteWeights
from hfspec.report.artifact import adapter_rows, dtype_text, label_rows, licence
from hfspec.report.graphs import planned_rows
from hfspec.report.pointers import pointer_rows, save_mode
from hfspec.report.signature import describe
from hfspec.report.sizes import in_bytes, in_count
from hfspec.report.table import aligned, section

FORMATS = ("text", "json")


def render(plan: Plan, format: str) -> str:  # noqa: A002 - the option's name
    """Write a plan for a reader.

    Args:
        plan: The plan.
        format: One of FORMATS.

    Returns:
        The report.
    """
    return json.dumps(to_json(plan), indent=2, ensure_ascii=False) if format == "json" else _text(plan)


def to_json(plan: Plan) -> dict[str, Any]:
    """Show a plan as JSON.

    Args:
        plan: The plan.

    Returns:
        Plain values, of a stable form that docs/artifact.md documents.
    """
    return {
        "name": plan.name,
        "spec_digest": plan.spec_digest,
        "sources": [source.to_json() for source in plan.sources],
        "deployment": {key: thaw(getattr(plan.deployment, key)) for key in plan.deployment.__slots__},
        "signature": plan.signature.to_json(),
        "labels": list(plan.labels),
        "files": [{"path": step.target, "size": step.size, "from": _origin(step)} for step in plan.steps],
        "parameters": plan.parameters,
        "weight_bytes": plan.weight_bytes,
        "memory_bytes": plan.memory_bytes,
        "settings": [{"key": row.key, "value": thaw(row.value), "origin": row.origin} for row in plan.settings],
        "requirements": list(plan.requirements),
        "notes": list(plan.notes),
        "run": plan.run,
        "serving": thaw(plan.serving),
        "save_mode": "reference" if plan.pointers else "full",
        "pointers": [pointer.to_json() for pointer in plan.pointers],
        "golden": [golden.to_json() for golden in plan.golden],
        "adapter": adapter_saved(plan.sources, [step.target for step in plan.steps]),
        "conversion": thaw(plan.conversion.to_json()) if plan.conversion else None,
        "quantization": plan.quantization.model_dump(exclude_none=True) if plan.quantization else None,
    }


def _text(plan: Plan) -> str:
    classes = (("model", plan.deployment.model_class), *plan.deployment.components.items())
    head = (
        ("task", f"{plan.deployment.task} ({plan.deployment.library})"),
        ("dtype", dtype_text(plan.deployment)),
        *label_rows(plan.labels),
        ("parameters", in_count(plan.parameters)),
        ("weights", in_bytes(plan.weight_bytes)),
        ("save mode", save_mode(plan.pointers)),
        *adapter_rows(plan.sources, [step.target for step in plan.steps]),
        ("memory", f"{in_bytes(plan.memory_bytes)} for the weights"),
        *_conversion_rows(plan),
        *planned_rows(plan),
        ("run at compile", _run(plan)),
    )
    settings = aligned((row.key, json.dumps(thaw(row.value), ensure_ascii=False), row.origin) for row in plan.settings)
    sections = (
        f"{plan.name}\n{aligned(head)}\n",
        section("sources", aligned(_source(source) for source in plan.sources)),
        section("classes", aligned(classes)),
        section("signature", describe(plan.signature)),
        section("settings (value, where it came from)", settings),
        section(
            "files to convert" if plan.conversion else "files",
            aligned((step.target, in_bytes(step.size), _origin(step)) for step in plan.steps),
        ),
        section("weights referred to", aligned(pointer_rows(plan.pointers))),
        section("requirements", aligned((line,) for line in plan.requirements)),
        section("notes", aligned((note,) for note in plan.notes)),
    )
    return "\n".join(filter(None, sections)).rstrip()


def _conversion_rows(plan: Plan) -> Iterator[tuple[str, str]]:
    conversion = plan.conversion
    if conversion is not None:
        makers = ", ".join(f"{name} {version}" for name, version in conversion.versions.items())
        yield "convert to", f"{conversion.to}, {conversion.precision}, {conversion.execution_provider}"
        yield "converted by", makers
        yield "", "the sizes above are the checkpoint's, before it is converted"


def _run(plan: Plan) -> str:
    example = "input_example" if plan.input_example is not None else ""
    golden = f"{len(plan.golden)} golden" if plan.check_golden else ""
    return f"yes, on {' and '.join(filter(None, (example, golden)))}" if plan.run else "no"


def _source(source: SourceRecord) -> tuple[str, str, str, str]:
    at = f" at {source.revision}" if source.revision else ""
    return (source.role, f"{source.kind} {source.location}{at}", source.commit or "", licence(source))


def _origin(step: CopyFile | WriteWeights | WriteBytes) -> str:
    if isinstance(step, CopyFile):
        return f"{step.role}: {step.path}"
    if isinstance(step, WriteBytes):
        return "written by the compiler"
    casts = sorted({f"{t.source_dtype} to {t.dtype}" for t in step.tensors if t.source_dtype != t.dtype})
    return f"{len(step.tensors)} tensors, " + (", ".join(casts) if casts else "as stored")
