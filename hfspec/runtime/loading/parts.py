"""A checkpoint's parts as the library's objects: tokenizer and model, from the artifact's folders only.

No code of the artifact is run, no network is used, weights come from safetensors only.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hfspec.errors import StorageError, UsageError
from hfspec.ir.dtypes import torch_dtype
from hfspec.ir.frozen import thaw
from hfspec.library_calls.quiet import is_tokenizer, quiet
from hfspec.runtime import unasked_masks
from hfspec.runtime.backends import putting as backends
from hfspec.runtime.io.transfer import sent
from hfspec.runtime.loading import adapter
from hfspec.runtime.runner import Place
from hfspec.runtime.unasked_masks import MASK
from hfspec.tasks.task import PROCESSED, PROCESSOR

AUTO_COMPONENTS = {
    "tokenizer": "AutoTokenizer",
    "feature_extractor": "AutoFeatureExtractor",
    "image_processor": "AutoImageProcessor",
    PROCESSOR: "AutoProcessor",
}
LARGEST_LENGTH = 10**9  # a tokenizer without a limit says 10**30


def tokenizer(place: Place, folder: Path | None = None, **settings: Any) -> Any:
    """The tokenizer, the spec's own component before the model's; ``settings`` yield to the spec's options.

    Raises StorageError when its files make none.
    """
    found = _component(place, "tokenizer", folder or place.model, settings)
    if not is_tokenizer(found):
        raise StorageError(f"the tokenizer's files name {type(found).__name__}, which is not a tokenizer.")
    return found


def component(place: Place, name: str, **settings: Any) -> Any:
    """The feature extractor, image processor or processor, the spec's own component before the model's; ``settings``
    yield to the spec's options.
    """
    return _component(place, name, place.model, settings)


def _component(place: Place, name: str, source: Path, settings: Mapping[str, Any]) -> Any:
    """What ``source`` or the spec brings, kept in ``place.loaded``; the parts of a processor are its own."""
    import transformers

    own = {source.role for source in place.manifest.sources}  # components/ holds copies of the model's too, for MLflow
    if name in PROCESSED and f"components/{name}" not in own and f"components/{PROCESSOR}" in own:
        whole = place.loaded.get(PROCESSOR) or _component(place, PROCESSOR, source, {})
        place.loaded[name] = getattr(whole, name)
        return place.loaded[name]
    source = place.folder / "components" / name if f"components/{name}" in own else source
    options = {**settings, **thaw(place.manifest.deployment.options.get(name, {}))}
    reviewed = place.code.get(name)
    with quiet(), _reading(source, name.replace("_", " ")):
        if reviewed is not None:
            place.loaded[name] = reviewed.from_pretrained(str(source), local_files_only=True, **options)
        else:
            place.loaded[name] = getattr(transformers, AUTO_COMPONENTS[name]).from_pretrained(
                str(source), local_files_only=True, trust_remote_code=False, **options
            )
    return place.loaded[name]


def model(place: Place, model_class: Any, folder: Path | None = None, **settings: Any) -> Any:
    """The model on its device, in its dtype, with the artifact's adapter where it has one, ready to answer.

    Raises StorageError when its files cannot be read, UsageError when they lack some of its weights, or are quantised
    and should be cast.
    """
    source = folder or place.model
    from hfspec.library_calls.making import making

    _refuse_cast(place, source)
    brought = adapter.brought(place)
    if "model" in place.code:
        settings["config"] = config(place, source)
    with quiet(), _reading(source, "model"), making():
        loaded, report = model_class.from_pretrained(
            str(source),
            local_files_only=True,
            use_safetensors=True,
            dtype=torch_dtype(place.dtype),
            output_loading_info=True,
            ignore_mismatched_sizes=bool(brought),
            **({} if place.device_map is None else {"device_map": place.device_map}),
            **settings,
        )
    _refuse_gaps(report, model_class.__name__, brought)
    loaded.config.return_dict = True  # old checkpoints may ask for tuples, which name nothing
    with quiet():
        place.loaded["model"] = backends.put(place, adapter.applied(place, _placed(place, loaded.eval())))
    adapter.silence(place.loaded["model"])  # outside of quiet(), which puts back what is heard
    return place.loaded["model"]


def reader(place: Place, model_class: Any, folder: Path | None = None, **settings: Any) -> Any:
    """The same of a model that reads what it is given in one pass."""
    loaded = model(place, model_class, folder, **settings)
    with quiet():
        unasked_masks.put(loaded, place)
    return loaded


def _refuse_cast(place: Place, source: Path) -> None:
    stored = place.manifest.deployment.dtype
    if place.dtype == stored:
        return
    with _reading(source, "config"):
        is_quantised = "quantization_config" in json.loads((source / "config.json").read_bytes())
    if is_quantised:
        raise UsageError(f"the checkpoint is quantised, and cannot be cast to {place.dtype}: leave `dtype` out.")


def _placed(place: Place, loaded: Any) -> Any:
    """The model where it answers; one that is spread over devices is there already."""
    return loaded if place.device_map is not None else loaded.to(place.device)


def config(place: Place, source: Path) -> Any:
    """The config in ``source``; raises StorageError when it cannot be read."""
    import transformers

    with quiet(), _reading(source, "config"):
        if "config" in place.code:
            return place.code["config"].from_pretrained(str(source), local_files_only=True)
        return transformers.AutoConfig.from_pretrained(str(source), local_files_only=True, trust_remote_code=False)


def model_class(place: Place) -> Any:
    """The class that runs the model: reviewed code, else the library's own."""
    reviewed = place.code.get("model")
    return library_class(place.manifest.deployment.model_class) if reviewed is None else reviewed


def library_class(name: str) -> Any:
    """A class of transformers by its name; raises UsageError when the installed one has no such class."""
    import transformers

    try:
        return getattr(transformers, name)
    except AttributeError as error:
        raise UsageError(
            f"the installed transformers {transformers.__version__} has no class {name}; install the version in the"
            " artifact's requirements.txt."
        ) from error


def positions(loaded: Any) -> int:
    """How many tokens the model has positions for, LARGEST_LENGTH when it says no limit."""
    limit = getattr(loaded.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit <= 0:
        return LARGEST_LENGTH
    return limit - _padding_offset(loaded) - adapter.virtual_tokens(loaded)


def longest(loaded: Any, tokenizer: Any) -> int:
    """How many tokens a text may have: what both model and tokenizer can take."""
    return int(min(positions(loaded), tokenizer.model_max_length, LARGEST_LENGTH))


def pad_id(loaded: Any, tokenizer: Any) -> int:
    """The token that fills a batch: the model's own, since some models tell padding by it, then the tokenizer's."""
    for owner in (loaded.config, tokenizer):
        found = getattr(owner, "pad_token_id", None)
        if isinstance(found, int) and found >= 0:
            return found
    return 0


def padded(rows: Sequence[Mapping[str, list[int]]], pad: Mapping[str, int], side: str, device: str) -> dict[str, Any]:
    """Token lists as tensors (rows, longest row), filled up on one side; a name without a pad value gets zeros."""
    import torch

    width = max(len(row["input_ids"]) for row in rows)
    result = {}
    for name in rows[0]:
        fill = pad.get(name, 0)
        lines = [row[name] for row in rows]
        full = [
            [fill] * (width - len(line)) + line if side == "left" else line + [fill] * (width - len(line))
            for line in lines
        ]
        result[name] = sent(torch.tensor(full, dtype=torch.long), device)
    if MASK in result:
        unasked_masks.mark(result[MASK], is_whole=all(len(row[MASK]) == width and 0 not in row[MASK] for row in rows))
    return result


def _padding_offset(loaded: Any) -> int:
    """RoBERTa and its kin count positions from the padding index up, so that many cannot be used."""
    for name, module in loaded.named_modules():
        index = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and index is not None:
            return int(index) + 1
    return 0


def _refuse_gaps(report: Mapping[str, Any], name: str, brought: Collection[str]) -> None:
    """``brought``: tensors that come with the adapter."""
    mismatched = {item[0] for item in report.get("mismatched_keys", ())}
    gaps = sorted({*report.get("missing_keys", ()), *mismatched}.difference(brought))
    if gaps:
        shown = ", ".join(gaps[:5]) + (", …" if len(gaps) > 5 else "")
        raise UsageError(
            f"the weights do not fit {name}: {len(gaps)} tensors are missing or of another shape ({shown}). The library"
            " would fill them with random numbers; compile from a complete checkpoint."
        )


@contextmanager
def _reading(source: Path, what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # over a broken file the library may raise anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise StorageError(f"the {what} in {source.name}/ could not be loaded: {reason}") from error
