"""The load of a predictor from an artifact's folder."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from hfspec.errors import UsageError
from hfspec.integrity import fingerprint
from hfspec.integrity.finding import Sources
from hfspec.integrity.trust import check_trust
from hfspec.integrity.verification import examine, read_manifest
from hfspec.integrity.verified_memory import default_memory
from hfspec.ir.artifact import Manifest
from hfspec.ir.backends import AUTO
from hfspec.ir.dtypes import RUNNABLE
from hfspec.runtime.backends import half_precision
from hfspec.runtime.host.allocator import keep_freed_memory
from hfspec.runtime.host.process import import_libraries
from hfspec.runtime.loading.gathering import gather
from hfspec.runtime.loading.placement import Placement
from hfspec.runtime.loading.remote_code import check_consent
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.states import checked_choice
from hfspec.runtime.patches.table import ALL
from hfspec.runtime.predictor import Predictor, checked_form
from hfspec.settings.precedence import load_layer
from hfspec.tasks.task import Task
from hfspec.tasks.weight_formats import SAFETENSORS, WEIGHT_FORMATS, library_of


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
    keep_memory: bool = False,
    patches: str = ALL,
) -> Predictor:
    """Load an artifact. This runs no file of it but reviewed code, with consent. It uses no network, but for the
    weights that a reference artifact pins and that are not in the hub's cache yet.

    A load changes this process for good: it imports torch and transformers; with ``threads`` it sets torch's number of
    threads, and to one in a process forked from one that has loaded; with ``keep_memory``, how glibc keeps memory; on a
    GPU it adds two names to transformers' registries of attention; with reviewed code, its modules, and a finder of
    them in ``sys.meta_path``; a file of the user's cache remembers the verified files. While it makes objects,
    transformers replaces functions of its own, as in any ``from_pretrained``, its logger drops this thread's messages
    below an error, and the filters of warnings are others around peft and the converter of the backend openvino. A
    reference artifact has a temporary folder of links to its weights (docs/serving.md).

    Where anything else needs the processor, whoever starts the process sets ``OMP_WAIT_POLICY=PASSIVE`` before torch is
    imported: torch's threads spin while they wait otherwise. A load cannot set it (docs/serving.md).

    Args:
        folder: The artifact.
        model_config: Settings that override the spec's.
        outputs: ``standard`` or ``full``, instead of the spec's choice.
        dtype: Cast the weights to this while loading; ``auto``: as stored; by default the spec's
            ``runtime.compute_dtype``, else as stored.
        device: By torch's name; by default the spec's, else a GPU where torch finds one.
        device_map: Spread the model over devices instead: a rule of the package accelerate, or module -> device.
        threads: How many CPU threads torch uses from now on, in this whole process.
        backend: The one to do the model's arithmetic: ``torch``, ``onednn`` or ``openvino``; by default the spec's,
            else ``auto`` (docs/backends.md).
        verify: Whether to compare every byte with the manifest first.
        expect_fingerprint: The fingerprint of the required embedding space, or its first 12 or more digits; checked
            before the model is loaded, with these settings and this dtype.
        sources: For a reference artifact, role (``model``) -> the folder that has its weights.
        trust_remote_code: Consent to run the Python files that came with the checkpoint and that the spec lists as
            reviewed; an artifact that has such files is refused without it.
        keep_memory: Whether the C library keeps memory that a batch has freed, in this whole process.
        patches: ``none`` for the libraries' own way wherever hfspec has another; else ``all``.

    Returns:
        The predictor.

    Raises:
        VerificationError: A file differs from the manifest, or the embedding space is another.
        StorageError: A file cannot be read.
        SourceError: The weights of a reference artifact are not found.
        UsageError: An argument cannot be, or this machine cannot run the artifact.
        ParamsError: For ``model_config``.
    """
    choice = checked_choice(patches)
    root = Path(folder).resolve()
    verified = examine(root, remember=default_memory()) if verify else None
    manifest = verified.manifest if verified else read_manifest(root)
    library = library_of(manifest.deployment)
    if library is not None:
        import_libraries(library.packages)
    check_trust(root, manifest)
    check_consent(root, manifest, trusted=trust_remote_code)
    task = _task(manifest)
    assert library is not None, "a known task has a known library"
    layer = load_layer(model_config, task, manifest.signature)
    form = checked_form(manifest.deployment.outputs if outputs is None else outputs)
    weights = gather(root, manifest, sources or {}, verify=verify)
    place = library.part("placing")(manifest, device=device, device_map=device_map, threads=threads, backend=backend)
    if keep_memory:
        keep_freed_memory()
    request = LoadRequest(
        root,
        manifest,
        task,
        _dtype(dtype, manifest, place),
        place.device,
        device_map=place.device_map,
        threads=place.threads,
        backend=place.backend,
        patches=choice,
        verified=verified,
        weights=weights,
    )
    with request.unchanged():
        if expect_fingerprint is not None:
            fingerprint.check(expect_fingerprint, request.fingerprint(layer))
        predictor = Predictor(library.part("loading")(request), layer, form)
    half_precision.warn(request)
    return predictor


def _task(manifest: Manifest) -> Task:
    deployment = manifest.deployment
    row = WEIGHT_FORMATS.get(deployment.format)
    task = None if row is None else row.task(deployment.library, deployment.task)
    if task is None:
        place = (
            deployment.library if deployment.format == SAFETENSORS else f"{deployment.library} in {deployment.format}"
        )
        raise UsageError(
            f"this hfspec does not know the task {deployment.task!r} of {place}; the artifact was made by"
            f" hfspec {manifest.made_by.get('hfspec', '(unknown)')}."
        )
    return task


def _dtype(name: str | None, manifest: Manifest, place: Placement) -> str:
    """The dtype to load in: the caller's, that of the spec's ``compute_dtype``, else as stored."""
    deployment = manifest.deployment
    if name == AUTO or (name is None and "compute_dtype" not in deployment.runtime):
        return deployment.dtype
    if name is None and deployment.runtime["compute_dtype"] == AUTO:
        return half_precision.quickest(deployment.dtype, place.device, place.device_map)
    chosen = deployment.computed_dtype if name is None else name
    if chosen not in RUNNABLE:
        raise UsageError(f"dtype must be one of {AUTO}, {', '.join(RUNNABLE)}, not {chosen!r}.")
    return chosen
