"""An artifact's account of itself, for a person or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from hfspec.ir.artifact import Deployment, Manifest, SourceRecord, adapter_saved
from hfspec.ir.dtypes import HALVES
from hfspec.ir.frozen import thaw
from hfspec.report.graphs import measured_rows
from hfspec.report.pointers import pointer_rows, save_mode
from hfspec.report.signature import describe
from hfspec.report.sizes import in_bytes
from hfspec.report.table import aligned, plain_text, section

CODE = "code/"
SHOWN = 12  # labels; most models with more have hundreds


def render(manifest: Manifest, format: str, labels: Sequence[str] = ()) -> str:  # noqa: A002 - the option's name
    """Write a manifest for a reader.

    Args:
        manifest: The manifest.
        format: ``text`` or ``json``; the JSON is that of artifact.json.
        labels: The labels that the model answers with, which the text shows.

    Returns:
        The text or the JSON.
    """
    if format == "json":
        body = {**manifest.to_json(), "digest": manifest.digest}
        return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False)
    return _text(manifest, labels)


def _text(manifest: Manifest, labels: Sequence[str]) -> str:
    deployment = manifest.deployment
    head = (
        ("digest", manifest.digest),
        *([("fingerprint", manifest.fingerprint)] if manifest.fingerprint else []),
        ("task", f"{deployment.task} ({deployment.library})"),
        ("model", deployment.model_class),
        ("dtype", dtype_text(deployment)),
        *label_rows(labels),
        ("prompt template", deployment.prompt_template or "none"),
        ("size", f"{in_bytes(sum(record.size for record in manifest.files))} in {len(manifest.files)} files"),
        *((f"runtime.{key}", str(value)) for key, value in sorted(deployment.runtime.items())),
        ("save mode", save_mode(manifest.pointers)),
        *adapter_rows(manifest.sources, [record.path for record in manifest.files]),
        *_converted_rows(manifest),
        *measured_rows(manifest),
        ("made by", ", ".join(f"{name} {version}" for name, version in sorted(manifest.makers.items()))),
    )
    config = ((key, json.dumps(thaw(value), ensure_ascii=False)) for key, value in deployment.model_config.items())
    sections = (
        f"{manifest.name}\n{aligned(head)}\n",
        section("sources", aligned(_source(source) for source in manifest.sources)),
        section("signature", describe(manifest.signature)),
        section("model_config", aligned(config)),
        section("changed from the source", aligned((path, "; ".join(what)) for path, what in manifest.cleaned.items())),
        section("files", aligned(_files(manifest))),
        section("weights referred to", aligned(pointer_rows(manifest.pointers))),
        section("planned for", aligned(sorted((str(k), str(v)) for k, v in manifest.versions.items()))),
    )
    return "\n".join(filter(None, sections)).rstrip()


def _converted_rows(manifest: Manifest) -> Iterator[tuple[str, str]]:
    account = manifest.converted
    if account:
        makers = ", ".join(f"{name} {version}" for name, version in sorted(account["made_by"].items()))
        agreement = account["agreement"]
        yield "converted", f"to {account['to']}, {account['precision']}, {account['execution_provider']}, by {makers}"
        yield "agreement", f"{agreement['same']} of {agreement['tokens']} of the checkpoint's greedy tokens"


def label_rows(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Show the labels of a model.

    Args:
        labels: The model's labels.

    Returns:
        A row with them, the first where they are many; none without labels.
    """
    if not labels:
        return []
    more = f", and {len(labels) - SHOWN} others" if len(labels) > SHOWN else ""
    return [("labels", f"{len(labels)}: {', '.join(map(plain_text, labels[:SHOWN]))}{more}")]


def _files(manifest: Manifest) -> Iterator[tuple[str, str, str]]:
    """A row a file, and one for all of the runtime's code, which nobody reads one by one."""
    code = [record for record in manifest.files if record.path.startswith(CODE)]
    others = [record for record in manifest.files if record not in code]
    if len(code) > 1:
        yield CODE, in_bytes(sum(record.size for record in code)), f"{len(code)} files"
    else:
        others = list(manifest.files)
    for record in others:
        yield record.path, in_bytes(record.size), record.sha256[:12]


def adapter_rows(sources: Sequence[SourceRecord], paths: Iterable[str]) -> list[tuple[str, str]]:
    """Show the adapter.

    Args:
        sources: The artifact's sources.
        paths: The paths of its files.

    Returns:
        A row on how it is saved; none without one.
    """
    saved = adapter_saved(sources, paths)
    return [("adapter", saved)] if saved else []


def licence(source: SourceRecord) -> str:
    """Name the licences of a source.

    Args:
        source: The source.

    Returns:
        The licences that it declares, in words.
    """
    return ", ".join(source.licences) or "no licence declared"


def _source(source: SourceRecord) -> tuple[str, str, str, str]:
    at = f" at {source.revision}" if source.revision else ""
    return (source.role, f"{source.kind} {source.location}{at}", source.commit or "", licence(source))


def dtype_text(deployment: Deployment) -> str:
    """Say the dtype of the weights, and the one that torch computes in where that is another.

    Args:
        deployment: That of an artifact or a plan.

    Returns:
        The text.
    """
    stored, computed = deployment.dtype, deployment.computed_dtype
    if deployment.runtime.get("compute_dtype") == "auto" and stored in HALVES:
        return f"{stored}, computed in float32 on a CPU that is measured to be slower in 16 bits"
    return stored if stored == computed else f"{stored}, computed in {computed}"
