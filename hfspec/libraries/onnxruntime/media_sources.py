"""Models of images and sounds on their way to a graph: their processors as steps that need no transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from hfspec.checkpoint.processors import read_processor
from hfspec.checkpoint.spec_sources import Sources
from hfspec.errors import SpecError
from hfspec.ir.problem import Problem, one_of
from hfspec.libraries.onnxruntime.examples import Drawing, Examples, Inputs
from hfspec.libraries.onnxruntime.images import HEIGHT, PIXELS, SHORTEST, WIDTH, ImageSteps
from hfspec.libraries.onnxruntime.loading import GRAPH
from hfspec.libraries.onnxruntime.refusal import refusal
from hfspec.libraries.onnxruntime.sounds import SAMPLES, SoundSteps
from hfspec.runtime.patches.masks import MASK
from hfspec.tasks.task import PROCESSOR
from hfspec.tasks.weight_formats import WEIGHT_FORMATS

Size = Mapping[str, int]
NO_MASK = 1e-5  # how far a mask over whole sounds may move a logit, where the largest is 1
CONFIG = ("conv_kernel", "conv_stride", "id2label", "label2id", "model_type", "num_labels", "problem_type")
SIZES = ((40, 57), (224, 224), (300, 451), (61, 18))  # height and width of the images that are compared
SECONDS = (0.25, 0.7313, 1.5)


class MediaSource:
    """A loaded model of images or sounds, and what a graph of it is to compute."""

    def __init__(self, runner: Any, steps: ImageSteps | SoundSteps, examples: Examples) -> None:
        self.owner = runner
        self.steps = steps
        self._examples = examples

    def compute(self, inputs: dict[str, Any]) -> Any:
        """The logits."""
        return self.owner.model(**inputs).logits.float()

    def drawings(self, computes: str) -> tuple[Drawing]:
        """The graph, whose outputs are of the kind ``computes``."""
        return (Drawing(GRAPH, self.compute, self._examples, computes),)

    def facts(self) -> dict[str, Any]:
        """The facts that the graph's runner needs."""
        config = self.owner.model.config
        return {
            "attributes": {},
            "config": {name: getattr(config, name) for name in CONFIG if hasattr(config, name)},
            "features": asdict(self.steps),
            "pad": {},
            "sees_padding": False,
            "tokenizer": {},
        }

    def files(self) -> dict[str, bytes]:
        """The other files beside the graph: none."""
        return {}


def problems(sources: Sources) -> Iterator[Problem]:
    """The problems of a processor of images or sounds that only transformers can compute.

    Args:
        sources: The spec and the files of its sources.

    Yields:
        Each, at the spec's key ``format``.
    """
    spec = sources.spec
    name, check = CHECKS[WEIGHT_FORMATS[spec.format].computes(sources.task)]
    files = sources.components.get(name) or sources.components.get(PROCESSOR) or sources.model
    try:
        check(read_processor(files, name, spec.components.options(name)))
    except SpecError as error:
        for problem in error.problems:
            yield replace(problem, origin=sources.tree.origin(problem.path))


def _check_image_processor(processor: Any) -> None:
    _pixels(processor, image_steps(processor))


def _pixels(processor: Any, steps: ImageSteps) -> list[Any]:
    """The pixels of images of several sizes; raises SpecError where the processor makes others of one."""
    images = [_image(*size) for size in SIZES]
    arrays = [steps(image)[PIXELS] for image in images]
    for image, mine in zip(images, arrays, strict=True):
        _refuse_other(dict(processor(images=image, return_tensors="np")), PIXELS, mine, processor)
    return arrays


def image_logits(runner: Any) -> MediaSource:
    """The source of an image classifier; raises SpecError for a processor with steps that hfspec does not know."""
    steps = image_steps(runner.processor)
    arrays = _pixels(runner.processor, steps)
    is_fixed = len({one.shape for one in arrays}) == 1
    axes = {0: "rows"} if is_fixed else {0: "rows", 2: "height", 3: "width"}
    return MediaSource(runner, steps, _examples("images of several sizes", PIXELS, axes, arrays))


def sound_logits(runner: Any) -> MediaSource:
    """The source of a sound classifier that reads samples; raises SpecError for one that reads anything else."""
    extractor = runner.features.extractor
    steps = sound_steps(extractor)
    counts = [runner.features.least, *(int(seconds * steps.sampling_rate) for seconds in SECONDS)]
    sounds = [_sound(count) for count in counts]
    arrays = [steps(sound)[SAMPLES] for sound in sounds]
    for sound, mine in zip(sounds, arrays, strict=True):
        inputs = dict(extractor(sound, sampling_rate=steps.sampling_rate, return_tensors="np"))
        mask = inputs.pop(MASK, None)
        _refuse_other(inputs, SAMPLES, mine, extractor)
        if mask is not None:
            _refuse_masking(runner.model, mine, mask)
    return MediaSource(
        runner, steps, _examples("sounds of several lengths", SAMPLES, {0: "rows", 1: "samples"}, arrays)
    )


def _examples(words: str, name: str, axes: Mapping[int, str], arrays: Sequence[Any]) -> Examples:
    """Each input alone, and two of each shape together."""
    import numpy as np

    pairs = [np.concatenate([one, one[..., ::-1]]) for one in arrays]
    batches: list[Inputs] = [{name: array} for array in (*arrays, *pairs)]
    return Examples(words, batches[-2], {name: axes}, batches)


def sound_steps(extractor: Any) -> SoundSteps:
    """The steps of a feature extractor of transformers; raises SpecError for one that does not hand on samples."""
    name = type(extractor).__name__
    if name != "Wav2Vec2FeatureExtractor":
        message = f"The checkpoint reads its sounds through {name}, which transformers computes."
        raise refusal(message, expected="Wav2Vec2FeatureExtractor, which hands on samples", found=name)
    return SoundSteps(int(extractor.sampling_rate), bool(extractor.do_normalize))


def image_steps(processor: Any) -> ImageSteps:
    """The steps of a processor of transformers.

    Args:
        processor: One of the PIL backend.

    Raises:
        SpecError: It is of a class that does something else, or is set to.
    """
    name = type(processor).__name__.removesuffix("Pil").removesuffix("Fast")
    resized = RESIZED.get(name)
    if resized is None:
        message = f"The checkpoint reads its images through {name}, which transformers computes."
        raise refusal(message, expected=one_of(RESIZED), found=name)
    if _says(processor, "do_pad"):
        message = f"The checkpoint's {name} pads images, which transformers computes."
        raise refusal(message, found="do_pad in preprocessor_config.json")
    size, crop = resized(processor, name) if _says(processor, "do_resize") else ({}, ())
    if _says(processor, "do_center_crop") and not crop:
        own = _sizes(processor.crop_size)
        crop = (own[HEIGHT], own[WIDTH])
    resample = processor.resample
    return ImageSteps(
        size=size,
        resample=int(BILINEAR if resample is None else resample),
        crop=crop,
        scale=float(processor.rescale_factor) if _says(processor, "do_rescale") else None,
        shift=-1.0 if _says(processor, "do_rescale") and _says(processor, "rescale_offset") else 0.0,
        normalising=tuple(_normalising(processor, name)),
        flips=_says(processor, "do_flip_channel_order"),
        do_resize=bool(size),
    )


BILINEAR = 2  # of pillow's filters


def _normalising(processor: Any, name: str) -> list[dict[str, list[float]]]:
    if name == "MobileViTImageProcessor":
        return []
    std = _channels(processor.image_std)
    steps = []
    if _says(processor, "do_normalize"):
        steps.append({"mean": _channels(processor.image_mean), "std": std})
    if name == "EfficientNetImageProcessor" and _says(processor, "include_top"):
        steps.append({"mean": [0.0] * 3, "std": std})
    return steps


def _channels(values: Any) -> list[float]:
    return [float(values)] * 3 if isinstance(values, int | float) else [float(value) for value in values]


def _says(processor: Any, name: str) -> bool:
    return bool(getattr(processor, name, False))


def _sizes(size: Any) -> dict[str, int]:
    """A size of transformers without what it leaves open."""
    return {name: int(value) for name, value in dict(size).items() if value is not None}


def _as_said(processor: Any, name: str) -> tuple[Size, Sequence[int]]:
    size = _sizes(processor.size)
    if set(size) not in ({SHORTEST}, {HEIGHT, WIDTH}):
        raise refusal(
            f"The checkpoint's {name} resizes by {' and '.join(size)}, which transformers computes.",
            expected=f"{SHORTEST}, or {HEIGHT} and {WIDTH}",
            found=", ".join(size),
        )
    return size, ()


def _convnext(processor: Any, name: str) -> tuple[Size, Sequence[int]]:
    """Below 384 a larger image is cropped; from there on the image is warped."""
    edge = _shortest(processor, name)
    if edge >= 384:
        return {HEIGHT: edge, WIDTH: edge}, ()
    return {SHORTEST: int(edge / processor.crop_pct)}, (edge, edge)


def _levit(processor: Any, name: str) -> tuple[Size, Sequence[int]]:
    size, crop = _as_said(processor, name)
    return ({SHORTEST: int(256 / 224 * size[SHORTEST])} if SHORTEST in size else size), crop


def _poolformer(processor: Any, name: str) -> tuple[Size, Sequence[int]]:
    size, crop = _as_said(processor, name)
    if processor.crop_pct is None:
        return size, crop
    larger = {edge: int(value / processor.crop_pct) for edge, value in size.items()}
    return ({SHORTEST: larger[HEIGHT]} if larger.get(HEIGHT, 0) == larger.get(WIDTH, 1) else larger), crop


def _shortest(processor: Any, name: str) -> int:
    size = _sizes(processor.size)
    if SHORTEST not in size:
        raise refusal(f"The checkpoint's {name} has no {SHORTEST}.", expected=SHORTEST, found=", ".join(size))
    return size[SHORTEST]


# Class -> the size that an image is resized to, and what is cropped of it then.
RESIZED: Mapping[str, Callable[[Any, str], tuple[Size, Sequence[int]]]] = {
    **dict.fromkeys(
        (
            *("BeitImageProcessor", "BitImageProcessor", "BlipImageProcessor", "CLIPImageProcessor"),
            *("ChineseCLIPImageProcessor", "DeiTImageProcessor", "EfficientNetImageProcessor"),
            *("MobileNetV1ImageProcessor", "MobileNetV2ImageProcessor", "MobileViTImageProcessor"),
            *("PvtImageProcessor", "SegformerImageProcessor", "SiglipImageProcessor", "ViTImageProcessor"),
        ),
        _as_said,
    ),
    "ConvNextImageProcessor": _convnext,
    "LevitImageProcessor": _levit,
    "PoolFormerImageProcessor": _poolformer,
}


def _image(height: int, width: int) -> Any:
    """Noise in RGB, the same each time."""
    import numpy as np
    from PIL import Image

    noise = np.random.default_rng(height).integers(0, 256, (height, width, 3))
    return Image.fromarray(noise.astype(np.uint8))


def _sound(count: int) -> Any:
    """Noise around an offset, the same each time."""
    import numpy as np

    return (np.random.default_rng(count).standard_normal(count) / 10 + 0.02).astype(np.float32)


def _refuse_other(inputs: Inputs, name: str, mine: Any, processor: Any) -> None:
    """Raises SpecError where transformers' processor makes something else."""
    import numpy as np

    if set(inputs) != {name} or not np.array_equal(np.asarray(inputs[name], dtype=np.float32), mine):
        raise refusal(f"{type(processor).__name__} of the checkpoint makes other inputs than its settings say.")


def _refuse_masking(model: Any, samples: Any, mask: Any) -> None:
    """Raises SpecError where a mask that masks nothing changes the answer: the graph takes none."""
    import torch

    with torch.no_grad():
        plain, masked = (
            model(input_values=torch.from_numpy(samples), **options).logits
            for options in ({}, {MASK: torch.from_numpy(mask)})
        )
    if not float((plain - masked).abs().max()) <= NO_MASK * max(1.0, float(plain.abs().max())):
        raise refusal("The model answers otherwise when it is told that no sample is masked.")


# What a graph computes -> the component that makes its input, and the check of it.
CHECKS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "image logits": ("image_processor", _check_image_processor),
    "sound logits": ("feature_extractor", sound_steps),
}
