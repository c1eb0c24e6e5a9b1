"""What an artifact says of itself, for a person or as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from hfspec.ir.artifact import Manifest, SourceRecord, adapter_saved
from hfspec.ir.frozen import thaw
from hfspec.report.pointers import pointer_rows, save_mode
from hfspec.report.signature import describe
from hfspec.report.sizes import in_bytes
from hfspec.report.table import aligned, section


def render(manifest: Manifest, format: str) -> str:  # noqa: A002 - the option's name
    """The manifest as text or JSON; the JSON is that of artifact.json."""
    if format == "json":
        body = {**manifest.to_json(), "digest": manifest.digest}
        return json.dumps(body, indent=2, sort_keys=True, ensure_ascii=False)
    return _text(manifest)


def _text(manifest: Manifest) -> str:
    deployment = manifest.deployment
    head = (
        ("digest", manifest.digest),
        *([("fingerprint", manifest.fingerprint)] if manifest.fingerprint else []),
        ("task", f"{deployment.task} ({deployment.library})"),
        ("model", deployment.model_class),
        ("dtype", deployment.dtype),
        ("prompt template", deployment.prompt_template or "none"),
        ("size", f"{in_bytes(sum(record.size for record in manifest.files))} in {len(manifest.files)} files"),
        *((f"runtime.{key}", str(value)) for key, value in sorted(deployment.runtime.items())),
        ("save mode", save_mode(manifest.pointers)),
        *adapter_rows(manifest.sources, [record.path for record in manifest.files]),
        ("made by", ", ".join(f"{name} {version}" for name, version in sorted(manifest.makers.items()))),
    )
    config = ((key, json.dumps(thaw(value), ensure_ascii=False)) for key, value in deployment.model_config.items())
    sections = (
        f"{manifest.name}\n{aligned(head)}\n",
        section("sources", aligned(_source(source) for source in manifest.sources)),
        section("signature", describe(manifest.signature)),
        section("model_config", aligned(config)),
        section("changed from the source", aligned((path, "; ".join(what)) for path, what in manifest.cleaned.items())),
        section("files", aligned((r.path, in_bytes(r.size), r.sha256[:12]) for r in manifest.files)),
        section("weights referred to", aligned(pointer_rows(manifest.pointers))),
        section("planned for", aligned(sorted((str(k), str(v)) for k, v in manifest.versions.items()))),
    )
    return "\n".join(filter(None, sections)).rstrip()


def adapter_rows(sources: Sequence[SourceRecord], paths: Iterable[str]) -> list[tuple[str, str]]:
    """A row on how the adapter is saved; none without one."""
    saved = adapter_saved(sources, paths)
    return [("adapter", saved)] if saved else []


def licence(source: SourceRecord) -> str:
    """What licences the source declares, in words."""
    return ", ".join(source.licences) or "no licence declared"


def _source(source: SourceRecord) -> tuple[str, str, str, str]:
    at = f" at {source.revision}" if source.revision else ""
    return (source.role, f"{source.kind} {source.location}{at}", source.commit or "", licence(source))
