"""From an artifact's folder to a predictor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from os import PathLike
from pathlib import Path
from typing import Any

from hfspec.errors import UsageError
from hfspec.ir.artifact import Manifest
from hfspec.runtime.allocator import keep_freed_memory
from hfspec.runtime.family import Family, Place
from hfspec.runtime.placement import placement, set_threads
from hfspec.runtime.predictor import Predictor, checked_form
from hfspec.runtime.reference.finding import Sources
from hfspec.runtime.reference.gathering import gather
from hfspec.runtime.remote_code import check_consent, reviewed_classes
from hfspec.runtime.sentences import fingerprint
from hfspec.runtime.settings import load_layer
from hfspec.runtime.starting import starting
from hfspec.runtime.verification.integrity import examine, read_manifest
from hfspec.runtime.verification.trust import check_trust
from hfspec.runtime.verification.verified_memory import default_memory
from hfspec.tasks import table
from hfspec.tasks.task import Task

DTYPES = ("float32", "float16", "bfloat16", "float64")


@starting()
def load(
    folder: str | PathLike[str],
    *,
    model_config: Mapping[str, Any] | None = None,
    outputs: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    threads: int | None = None,
    backend: str | None = None,
    verify: bool = True,
    expect_fingerprint: str | None = None,
    sources: Sources | None = None,
    trust_remote_code: bool = False,
) -> Predictor:
    """The predictor of the artifact in ``folder``. No file of the artifact is executed but reviewed code, with consent.
    No network is used, but for the weights that a reference artifact pins and that are not in the hub's cache yet.

    ``model_config``: settings that override the spec's. ``outputs``: standard or full, instead of the spec's choice.
    ``dtype``: cast the weights to this while loading (auto: as stored). ``device``: as torch names it; by default the
    spec's, else a GPU where torch finds one. ``device_map``: spread the model over devices instead, by a rule of the
    package accelerate or module -> device. ``threads``: how many CPU threads torch uses from now on, in this whole
    process. ``backend``: what does the model's arithmetic, torch, onednn or openvino; by default the spec's, else
    ``auto`` (docs/backends.md). ``verify=False`` skips checking every byte against the manifest.
    ``expect_fingerprint``: that of the space which the embeddings must be of, checked before the model is loaded, with
    these settings and dtype.
    ``sources``: of a reference artifact, role (``model``) -> the folder that has its weights.
    ``trust_remote_code``: consent to run the Python files that came with the checkpoint and that the spec lists as
    reviewed; an artifact that has such files is refused without it. No other file of it is ever run.

    Raises VerificationError, StorageError, SourceError, UsageError and, for model_config, ParamsError.
    """
    root = Path(folder).resolve()
    verified = examine(root, remember=default_memory()) if verify else None
    manifest = verified.manifest if verified else read_manifest(root)
    check_trust(root, manifest)
    check_consent(root, manifest, trusted=trust_remote_code)
    task = _task(manifest)
    given = load_layer(model_config, task, manifest.signature)
    form = checked_form(manifest.deployment.outputs if outputs is None else outputs)
    weights = gather(root, manifest, sources or {}, verify=verify)
    put = placement(manifest, device, device_map, threads, backend)
    set_threads(put.threads)
    keep_freed_memory()
    place = Place(
        root,
        manifest,
        task,
        _dtype(dtype, manifest),
        put.device,
        device_map=put.device_map,
        backend=put.backend,
        verified=verified,
        weights=weights,
    )
    with place.unchanged():
        if expect_fingerprint is not None:
            fingerprint.check(expect_fingerprint, fingerprint.of_place(place, given))
        place = replace(place, code=reviewed_classes(root, manifest, task))
        return Predictor(place, _family(task)(place), given, form)


def _task(manifest: Manifest) -> Task:
    deployment = manifest.deployment
    found = table.find(deployment.library, deployment.task)
    if found is None:
        raise UsageError(
            f"this hfspec does not know the task {deployment.task!r} of {deployment.library}; the artifact was made by"
            f" hfspec {manifest.made_by.get('hfspec', '(unknown)')}."
        )
    return found


def _family(task: Task) -> type[Family]:
    module, name = task.runner.split(":")
    family: type[Family] = getattr(import_module(module), name)
    return family


def _dtype(asked: str | None, manifest: Manifest) -> str:
    if asked in (None, "auto"):
        return manifest.deployment.dtype
    if asked not in DTYPES:
        raise UsageError(f"dtype must be one of auto, {', '.join(DTYPES)}, not {asked!r}.")
    return str(asked)
