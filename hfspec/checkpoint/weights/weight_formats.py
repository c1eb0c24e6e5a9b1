"""Whether a checkpoint can be made a model of the format that the spec asks for."""

from __future__ import annotations

from collections.abc import Iterator

from hfspec.checkpoint.checkpoint import Checkpoint
from hfspec.checkpoint.requirements import installed
from hfspec.checkpoint.spec_sources import Sources
from hfspec.errors import UsageError
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec import Spec
from hfspec.tasks.weight_formats import WEIGHT_FORMATS


def makers(spec: Spec) -> FrozenDict:
    """The packages that make the model's file -> their versions here.

    Raises UsageError when one is not installed.
    """
    row = WEIGHT_FORMATS[spec.format]
    if spec.model.file is not None:  # torch computes what the graph is held against
        return FrozenDict()
    versions = {name: version for name, version in installed(row.makers).items() if name != "python"}
    if missing := [name for name, version in versions.items() if version == "not installed"]:
        raise UsageError(
            f"format: {row.name} needs {' and '.join(missing)} to make the model's file, which is not installed here;"
            f" pip install 'hfspec[{row.makers_extra}]'."
        )
    return FrozenDict(versions)


def format_problems(sources: Sources, checkpoint: Checkpoint) -> Iterator[Problem]:
    """Weights that the format has no arithmetic for, quantised ones, and tokenizers that need transformers."""
    tree, spec = sources.tree, sources.spec
    row = WEIGHT_FORMATS[spec.format]
    if not row.exports:
        return
    origin = tree.origin(("format",))
    if checkpoint.is_graph_alone and spec.quantization is not None:
        path: KeyPath = ("quantization",)
        message = "The source has a graph and no weights, from which its distance could be measured."
        yield Problem("dead-key", message, tree.origin(path), path, remedy="Remove `quantization`.")
    if checkpoint.dtype not in row.dtypes:
        yield Problem(
            "format",
            f"The weights are stored in {checkpoint.dtype}, and {row.name} is made of {' or '.join(row.dtypes)}.",
            origin,
            ("format",),
            expected=" or ".join(row.dtypes),
            found=checkpoint.dtype,
            remedy=f"Write `dtype: {row.dtypes[0]}`, which casts them, or leave out `format`.",
        )
    needs_file = not row.is_by_transformers(sources.task)
    if needs_file and checkpoint.tokenizer is not None and not checkpoint.tokenizer.is_fast:
        message = (
            f"{checkpoint.tokenizer.class_name} works by transformers alone, which a model in {row.name} is without."
        )
        remedy = "Use a checkpoint with a tokenizer.json, or leave out `format`."
        yield Problem("format", message, origin, ("format",), expected="a tokenizer.json", remedy=remedy)
    if checkpoint.fit is None:
        message = f"The checkpoint is quantised already, and {row.name} is made of plain weights."
        yield Problem("format", message, origin, ("format",), remedy="Use the checkpoint before it was quantised.")


def format_notes(sources: Sources, checkpoint: Checkpoint) -> Iterator[str]:
    """A sentence on how the weights are stored."""
    spec = sources.spec
    row = WEIGHT_FORMATS[spec.format]
    if checkpoint.is_graph_alone:
        yield (
            f"The model is the graph {spec.model.file} of the source, as it is. It is not compared with weights: the"
            " source has none. Golden examples and the input example are what checks its answers."
        )
    elif spec.model.file is not None:
        yield (
            f"The model is the graph {spec.model.file} of the source, as it is: compile holds its answers against"
            " torch's and keeps the graph alone; whoever runs the artifact needs no torch."
        )
    elif row.exports and row.is_by_transformers(sources.task):
        yield (
            f"The model becomes {row.name}: compile makes a graph of the encoder and one of the decoder, holds their"
            " numbers against torch's and keeps the graphs alone; transformers' generate() drives them."
        )
    elif row.exports:
        yield (
            f"The model becomes {row.name}: compile makes a graph of the weights, holds its answers against torch's and"
            " keeps the graph alone; whoever runs the artifact needs no torch."
        )
    if spec.quantization is not None and spec.quantization.method != "stored":
        most = spec.quantization.tolerance
        yield (
            f"The graph's matrices are quantised by {spec.quantization.method}; its numbers may lie"
            f" {'at any distance' if most is None else f'{most:g}'} from those of float32."
        )
