"""Feature extractors, image processors and processors: whether there is one, and which class of the library it is."""

from __future__ import annotations

import tempfile
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

from hfspec.checkpoint.config import refuse_extents
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.errors import SpecError
from hfspec.integrity.trust import AUDIO_TOKENIZERS
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.tasks.task import PROCESSED, PROCESSOR

# Component -> the library's auto class, and what it is given beside the spec's options: image processors take the PIL
# backend, at compile time as at run time, so that nothing depends on whether torchvision is installed.
AUTO_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "feature_extractor": ("AutoFeatureExtractor", {}),
    "image_processor": ("AutoImageProcessor", {"backend": "pil"}),
    PROCESSOR: ("AutoProcessor", {}),
}
CONFIGS = ("preprocessor_config.json", "processor_config.json")


def processor_class(files: SourceFiles, name: str, options: FrozenDict) -> str:
    """The class of the component ``name``, as ``read_processor`` reads it."""
    return type(read_processor(files, name, options)).__name__


def read_processor(files: SourceFiles, name: str, options: FrozenDict) -> Any:
    """The component ``name`` of a source, with these options.

    Raises SpecError when there is none or when the library cannot load it without running code of the checkpoint.
    """
    words = name.replace("_", " ")
    if not any(files.has(path) for path in CONFIGS):
        raise files.refusal(
            "no-processor",
            f"the source has no {words}, which says how the input is made ready for the model",
            expected=" or ".join(CONFIGS),
            remedy="use a checkpoint that has one",
        )
    refuse_extents(files, "config.json")
    names = set(files.json(CONFIGS[1])) | {PurePosixPath(path).name for path in files.paths}
    for key in sorted(names & AUDIO_TOKENIZERS):
        raise files.refusal("remote-code", f"the processor's files name a model elsewhere ({key})")
    with tempfile.TemporaryDirectory() as place:
        for path in files.paths if name == PROCESSOR else (*CONFIGS, "config.json"):
            if files.has(path):
                (Path(place) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(place) / path).symlink_to(files.reader.small(path).absolute())
        component = _load(files, place, name, options)
    if files.key == ("components", name):
        _refuse_unknown(files, name, component, options)
    return component


def _refuse_unknown(files: SourceFiles, name: str, component: Any, options: FrozenDict) -> None:
    """The library leaves out, without a word, an option that a component does not have."""
    holders = [getattr(component, part) for part in PROCESSED] if name == PROCESSOR else [component]
    attributes = sorted({key for holder in holders for key in vars(holder) if not key.startswith("_")})
    problems = []
    for option in options:
        if not any(hasattr(holder, option) for holder in holders):
            message = f"the {type(component).__name__} has no option {option!r}, so it would change nothing"
            near = get_close_matches(option, attributes, n=1)
            at = ("components", name, "options", option)
            problems.append(files.problem("unknown-option", message, at=at, nearest=near[0] if near else ""))
    if problems:
        raise SpecError(tuple(problems))


def _load(files: SourceFiles, place: str, name: str, options: FrozenDict) -> Any:
    import transformers

    auto_class, settings = AUTO_CLASSES[name]
    try:
        component = getattr(transformers, auto_class).from_pretrained(
            place, trust_remote_code=False, local_files_only=True, **{**settings, **thaw(options)}
        )
    except Exception as error:
        reason = " ".join(str(error).replace(place, "the source").split())
        raise files.refusal(
            "broken-processor", f"the library cannot load the {name.replace('_', ' ')}: {reason}"
        ) from error
    if name == PROCESSOR and not all(hasattr(component, part) for part in PROCESSED):
        raise files.refusal(
            "no-processor",
            "the source has no processor, which is a feature extractor and a tokenizer together",
            found=type(component).__name__,
            remedy="give the components one by one",
        )
    return component
