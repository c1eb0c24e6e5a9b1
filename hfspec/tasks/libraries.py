"""The libraries that run models, a row each: what one does differently is a field here, and no test of its name.

The parts of a library are named, ``MODULE:NAME``, and imported when one of its models is compiled or loaded, so that a
library that needs no torch imports none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from hfspec.ir.lazy import named

GENERATION = ("generation_config.json", "")


@dataclass(frozen=True, slots=True)
class Library:
    """A library that runs models."""

    name: str
    """The value of the spec's key ``library``, and the name of its package."""
    layout: str
    """A function of the paths of a source, its reader, its location and the task: the ``Selection`` of the model's
    files (``hfspec/sources/selection.py``). Raises SourceError where they are no checkpoint of the library. With
    ``has_graph=True`` where the spec names a graph of the source, beside which there need be no weights.
    """
    planning: str
    """A function of the ``Sources`` of a spec (``hfspec/checkpoint/spec_sources.py``): the ``Plan``. Raises SpecError
    with every problem of the checkpoint.
    """
    placing: str
    """A function of the manifest and of what ``hfspec.load`` was asked for (device, device_map, threads, backend): the
    ``Placement`` (``hfspec/runtime/loading/placement.py``). Raises UsageError for what cannot be.
    """
    loading: str
    """A function of a ``LoadRequest``: the ``Runner`` with its model loaded."""
    components: str
    """A function of a ``Runner``: the library's own objects that it runs, by name."""
    pipeline: str
    """A function of a ``Runner``: the library's pipeline over those objects. Raises UsageError where it has none."""
    trust: str
    """A function of a manifest: what no artifact of this library says, as pairs of a path and a fault. It is called
    before anything of the library is parsed.
    """
    packages: tuple[str, ...]
    """The packages that every predictor of the library needs."""
    spec: str = "hfspec.ir.spec:Spec"
    """The model of its specs: a subclass of ``Spec`` where they have keys of their own."""
    announcing: str = ""
    """A function of the ``Sources`` of a spec that has its checkpoint converted to this library: the ``Plan`` of the
    files to convert, with a ``Conversion``. Raises SpecError with every problem. Empty: nothing is converted to it.
    """
    converting: str = ""
    """A function of the spec's ``Sources``, that plan, the records of the files that were written for it and the folder
    around them: the ``Converted`` (``hfspec/ir/plan.py``). Raises SpecError.
    """
    compiling: tuple[str, ...] = ("layout", "planning")
    """The modules of its folder that only a compile needs: an artifact carries the others."""
    weights: tuple[str, ...] = (".safetensors",)
    """How the names of weight files end that a reference artifact leaves at their source."""
    generation: tuple[str, str] = GENERATION
    """The file of a model that states settings of generation, and the key in it; empty where the file is of them."""
    has_pipelines: bool = False
    """Whether ``Predictor.pipeline()`` can give one, and its components are objects by themselves."""
    spreads: bool = False
    """Whether a model can be spread over several devices (``device_map``)."""
    keeps_folder: bool = False
    """Whether a model in a folder of its source keeps its place; it is at the top of the artifact's model else."""
    needs_modules: bool = False
    """Whether only modules.json says how token embeddings become one embedding."""
    task_patterns: Mapping[str, re.Pattern[str]] = field(default_factory=lambda: MappingProxyType({}))
    """Task -> a pattern of further names for it."""

    @property
    def folder(self) -> str:
        """The name of its folder in ``hfspec/libraries``."""
        return self.name.replace("-", "_")

    def part(self, name: str) -> Any:
        """The function or class that the field ``name`` names, imported."""
        return named(getattr(self, name))


# The library whose checkpoints `convert` takes, and the one that they can be converted to.
CONVERTIBLE, CONVERTED = "transformers", "onnxruntime-genai"
_TORCH_PACKAGES = ("numpy", "pandas", "safetensors", "tokenizers", "torch", "transformers")
LIBRARIES: Mapping[str, Library] = MappingProxyType(
    {
        row.name: row
        for row in (
            Library(
                "transformers",
                layout="hfspec.libraries.transformers.layout:select",
                planning="hfspec.libraries.transformers.planning:plan",
                placing="hfspec.libraries.transformers.loading:place",
                loading="hfspec.libraries.transformers.loading:load",
                components="hfspec.libraries.transformers.objects:components",
                pipeline="hfspec.libraries.transformers.objects:pipeline",
                trust="hfspec.libraries.transformers.trust:faults",
                packages=_TORCH_PACKAGES,
                has_pipelines=True,
                spreads=True,
                task_patterns=MappingProxyType({"translation": re.compile(r"translation_[A-Za-z]+_to_[A-Za-z]+")}),
            ),
            Library(
                "sentence-transformers",
                layout="hfspec.libraries.sentence_transformers.layout:select",
                planning="hfspec.libraries.transformers.planning:plan",
                placing="hfspec.libraries.transformers.loading:place",
                loading="hfspec.libraries.transformers.loading:load",
                components="hfspec.libraries.sentence_transformers.objects:components",
                pipeline="hfspec.libraries.sentence_transformers.objects:pipeline",
                trust="hfspec.libraries.transformers.trust:faults",
                packages=_TORCH_PACKAGES,
                needs_modules=True,
            ),
            Library(
                "onnxruntime-genai",
                layout="hfspec.libraries.onnxruntime_genai.layout:select",
                planning="hfspec.libraries.onnxruntime_genai.planning:plan",
                placing="hfspec.libraries.onnxruntime_genai.loading:place",
                loading="hfspec.libraries.onnxruntime_genai.loading:load",
                components="hfspec.libraries.onnxruntime_genai.objects:components",
                pipeline="hfspec.libraries.onnxruntime_genai.objects:pipeline",
                trust="hfspec.libraries.onnxruntime_genai.trust:faults",
                announcing="hfspec.libraries.onnxruntime_genai.conversion:announce",
                converting="hfspec.libraries.onnxruntime_genai.conversion:convert",
                packages=("jinja2", "numpy", "onnxruntime-genai", "tokenizers"),
                keeps_folder=True,
                compiling=(
                    *("layout", "planning", "examination"),
                    *("conversion", "building", "agreement"),
                ),
                weights=(".onnx", ".onnx.data", ".onnx_data", ".data"),
                generation=("genai_config.json", "search"),
            ),
        )
    }
)
