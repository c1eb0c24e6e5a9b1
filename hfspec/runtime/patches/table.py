"""The patches by name, each with what it replaces and the versions of the libraries in its tests. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hfspec.ir.frozen import FrozenDict

# Package -> the first and the last version, to two numbers.
TESTED = FrozenDict({"torch": ("2.13", "2.13"), "transformers": ("5.23", "5.23")})


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch. ``replaces``: the part of a library, and its replacement. ``trial``: the computation, with the patch and
    without, at a load. ``where``: the models, devices and settings it is for.
    ``tested``: package -> the first and the last version in its tests, to two numbers.
    """

    name: str
    replaces: str
    trial: str
    where: str
    tested: Mapping[str, tuple[str, str]] = field(default_factory=lambda: TESTED)


ONEDNN, T5_STEPS, DECODING = "onednn", "t5-steps", "decoding"
ROOMY_CACHE, MASKS, FIRST_VALUES = "roomy-cache", "masks", "first-values"
ALL, NONE = CHOICES = ("all", "none")
PATCHES = {
    patch.name: patch
    for patch in (
        Patch(
            ONEDNN,
            "torch's products in linear layers and in convolutions over time, by torch's operators of oneDNN",
            "three rows and one through a layer of every shape, its weights as they are and in oneDNN's order",
            "a CPU with `backend: onednn`, or with `auto` and AVX-512",
        ),
        Patch(
            T5_STEPS,
            "the forward of a T5 decoder's stack for one new token a row, by fewer products",
            "four tokens of the decoder",
            "`onednn` in float32",
        ),
        Patch(
            DECODING,
            "generate()'s loop for greedy search and sampling, so that a row that has ended leaves its batch",
            "four tokens of two prompts, one of which ends at the second",
            "generation",
        ),
        Patch(
            ROOMY_CACHE,
            "DynamicLayer.update of the cache while the loop above runs, by one that copies once in 64 tokens",
            "the same four tokens",
            "within `decoding`",
        ),
        Patch(
            MASKS,
            "the look at an attention mask that makes a GPU wait, by what padded the batch knows",
            "a pass over two rows, one of them padded",
            "a GPU",
        ),
        Patch(
            FIRST_VALUES,
            "the first values of layers on torch's meta device, which the checkpoint's tensors replace, by none",
            "the shapes and dtypes of small layers",
            "processes of our own, which have not imported the sympy that these values need",
        ),
    )
}
