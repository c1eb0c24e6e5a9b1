"""The params, metrics, tags and files that MLflow gets of an artifact, made before any server is asked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hfspec.artifact.texts import SPEC
from hfspec.comparison.artifacts import SmallFiles, stated_settings
from hfspec.errors import VerificationError
from hfspec.integrity.verification import Verified
from hfspec.ir.artifact import Manifest
from hfspec.ir.frozen import thaw
from hfspec.ir.plan import SettingRow
from hfspec.redaction import redacted
from hfspec.settings.precedence import CHECKPOINT, InForce

if TYPE_CHECKING:
    from hfspec.runtime.predictor import Predictor

WEIGHTS = (".safetensors", ".bin")
LONGEST = 500  # characters of a value that every store of MLflow takes
THE_SPEC = "spec"


@dataclass(frozen=True, slots=True)
class Account:
    """The entries that are logged of one artifact beside its own files. ``files``: path among the run's files ->
    content.
    """

    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: Mapping[str, bytes]


def account_of(
    verified: Verified,
    files: Mapping[str, str],
    rows: Sequence[SettingRow] = (),
    *,
    run: bool = True,
    trust_remote_code: bool = False,
) -> Account:
    """Tell what MLflow is told of an artifact.

    Args:
        verified: The artifact, every byte of which was found right.
        files: Texts for the run beside the artifact's spec, by their path.
        rows: The settings with their places in the spec, from its plan; without them each has the layer it comes from.
        run: Whether the model is loaded and answers the artifact's examples.
        trust_remote_code: Whether reviewed code of the artifact may run.

    Returns:
        The account.

    Raises:
        VerificationError: The artifact does not answer its own examples as it should.
    """
    manifest, metrics = verified.manifest, _sizes(verified.manifest)
    if run:
        predictor, seconds = _loaded(verified, trust_remote_code=trust_remote_code)
        metrics |= {"load.seconds": seconds, **_golden(verified, predictor)}
        settings: Mapping[str, InForce] = predictor.settings()
    else:
        files_of = SmallFiles(verified.folder, {record.path: record for record in manifest.files})
        settings = stated_settings(files_of, manifest)
    texts = {SPEC: (verified.folder / SPEC).read_text(encoding="utf-8"), **files}
    return Account(
        params=dict(_params(rows or _rows(manifest, settings), manifest)),
        metrics=metrics,
        tags=_tags(manifest),
        files={path: redacted(text).encode() for path, text in sorted(texts.items())},
    )


def _sizes(manifest: Manifest) -> dict[str, float]:
    weights = [file.size for file in manifest.files if file.path.endswith(WEIGHTS)]
    weights += [pointer.size for pointer in manifest.pointers]
    return {"size.bytes": float(sum(file.size for file in manifest.files)), "size.weight_bytes": float(sum(weights))}


def _loaded(verified: Verified, *, trust_remote_code: bool) -> tuple[Predictor, float]:
    from hfspec.runtime.host.process import import_libraries
    from hfspec.runtime.load import load
    from hfspec.tasks.weight_formats import library_of

    library = library_of(verified.manifest.deployment)
    import_libraries(library.packages if library else ())
    began = time.perf_counter()
    predictor = load(verified.folder, trust_remote_code=trust_remote_code)
    return predictor, time.perf_counter() - began


def _golden(verified: Verified, predictor: Predictor) -> dict[str, float]:
    """How far the answers to the golden examples lie from those expected, none of them further than it may."""
    from hfspec.runtime.golden.difference import differences
    from hfspec.runtime.golden.examples import faults, read_golden
    from hfspec.runtime.golden.plain_answer import plain_answer

    folder = verified.folder
    if failures := list(faults(predictor, folder)):
        lines = "\n".join(f"  {fault}" for fault in failures)
        raise VerificationError(
            f"{folder} does not answer its own examples as it should, so it is not logged:\n{lines}"
        )
    golden = [one.to_json() for one in read_golden(folder)]
    if not golden:
        return {}
    sizes = [
        difference.size or 0.0
        for one in golden
        for difference in differences(
            one["output"], plain_answer(predictor, one["input"], one["params"]), 0.0, predictor.task.anew
        )
    ]
    return {"golden.examples": float(len(golden)), "golden.max_deviation": max(sizes, default=0.0)}


def _rows(manifest: Manifest, settings: Mapping[str, InForce]) -> Iterator[SettingRow]:
    deployment = manifest.deployment
    yield SettingRow("dtype", deployment.dtype, CHECKPOINT)
    yield SettingRow("outputs", deployment.outputs, THE_SPEC)
    if deployment.prompt_template is not None:
        yield SettingRow("prompt_template", deployment.prompt_template, THE_SPEC)
    for name, value in deployment.runtime.items():
        yield SettingRow(f"runtime.{name}", value, THE_SPEC)
    for name, (value, origin) in settings.items():
        yield SettingRow(name, value, origin)


def _params(rows: Sequence[SettingRow] | Iterator[SettingRow], manifest: Manifest) -> Iterator[tuple[str, str]]:
    deployment = manifest.deployment
    yield "library", deployment.library
    yield "task", deployment.task_as_written
    yield "model_class", deployment.model_class
    yield "save_mode", "reference" if manifest.pointers else "full"
    for source in manifest.sources:
        yield f"source.{source.role}", _short(f"{source.kind} {source.location}")
    for row in rows:
        yield row.key, _short(thaw(row.value))
        yield f"{row.key}.origin", _short(row.origin)


def _short(value: Any) -> str:
    text = redacted(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _tags(manifest: Manifest) -> dict[str, str]:
    """The tags that identify the artifact; none is empty."""
    model = next(source for source in manifest.sources if source.role == "model")
    licences = sorted({licence for source in manifest.sources for licence in source.licences})
    tags = {
        "digest": manifest.digest,
        "name": manifest.name,
        "task": manifest.deployment.task,
        "commit": model.commit or model.version,
        "licence": ", ".join(licences) or "no licence declared",
        "fingerprint": manifest.fingerprint,
        "made_by": ", ".join(f"{name} {version}" for name, version in sorted(manifest.makers.items())),
    }
    return {f"hfspec.{name}": value for name, value in tags.items() if value}
