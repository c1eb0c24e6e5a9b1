"""How a graph is loaded: by onnxruntime, with what was recorded of the model when the graph was made."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hfspec.errors import StorageError, UsageError
from hfspec.formats.sentence_modules import pooling_modes
from hfspec.ir.artifact import Manifest
from hfspec.ir.lazy import named
from hfspec.runtime.loading.placement import Placement, check_threads
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.runner import Runner
from hfspec.runtime.text.token_batch import filled

CPU, BACKEND = "cpu", "onnxruntime"
GRAPH, FACTS = "model.onnx", "graph.json"
FATAL = 4  # of onnxruntime's levels of what it says: what it raises is said once
NO_MEMORY = ("allocate memory", "bad_alloc", "out of memory")


def place(
    manifest: Manifest, *, device: str | None, device_map: Any, threads: int | None, backend: str | None
) -> Placement:
    """The CPU, with the caller's number of threads before the spec's; raises UsageError for what cannot be."""
    runtime = manifest.deployment.runtime
    if device_map is not None or backend not in (None, "auto", BACKEND):
        name = "backend" if device_map is None else "device_map"
        raise UsageError(f"{name} is for models that torch computes; a graph takes device and threads.")
    device = runtime.get("device") if device is None else device
    if device not in (None, "auto", CPU):
        raise UsageError(f"a graph is computed on the CPU, not on {device!r}; load with device='cpu'.")
    threads = runtime.get("threads") if threads is None else threads
    check_threads(threads)
    return Placement(CPU, threads=threads, backend=BACKEND)


def load(request: LoadRequest) -> Runner:
    """The task's runner, with its graph loaded; raises UsageError for another dtype than the graph has."""
    stored = request.manifest.deployment.dtype
    if request.dtype != stored:
        raise UsageError(f"dtype: a graph computes in its own, here {stored}; load without dtype={request.dtype!r}.")
    runner: Runner = named(request.task.runner)(request)
    return runner


class PlainGraph:
    """A graph in memory. ``outputs``: those that are read, all where it is None. Raises StorageError where the file
    makes none.
    """

    outputs: Sequence[str] | None = None

    def __init__(self, path: Path, threads: int | None) -> None:
        self.session = session(path, threads)
        values = self.session.get_inputs()
        self.inputs = tuple(value.name for value in values)
        self.narrow = frozenset(value.name for value in values if value.type == "tensor(int32)")

    def run(self, inputs: Mapping[str, Any]) -> list[Any]:
        """The graph's outputs for its inputs. Raises MemoryError where memory runs out."""
        given = {name: array.astype("int32") if name in self.narrow else array for name, array in inputs.items()}
        try:
            return list(self.session.run(self.outputs, given))
        except Exception as error:  # the library raises errors of its own, all below Exception
            if any(phrase in str(error) for phrase in NO_MEMORY):
                raise MemoryError(str(error)) from error
            raise


class Graph(PlainGraph):
    """A graph with what its runner has to know beside it.

    ``config``: what the runners read of the model's config; ``attributes``: of the runner that answered by torch;
    ``tokenizer``, ``features``: what was recorded of the tokenizer, and of the processor of images or sounds; ``pad``:
    model input -> the value that fills a batch; ``sees_padding``: whether padding would change an answer; ``pooling``:
    what makes vectors of sentences of those of tokens, None where the graph does it. Raises StorageError where the
    files make none.
    """

    def __init__(self, folder: Path, threads: int | None) -> None:
        facts = _facts(folder / FACTS)
        try:
            self.config = _config(facts["config"])
            self.attributes: Mapping[str, Any] = facts["attributes"]
            self.tokenizer: Mapping[str, Any] = facts["tokenizer"]
            self.features: Mapping[str, Any] = facts.get("features", {})
            self.pad: Mapping[str, int] = facts["pad"]
            self.sees_padding = bool(facts["sees_padding"])
            self.outputs = facts.get("outputs")
            self.pooling: Mapping[str, Any] | None = facts.get("pooling")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise StorageError(f"{FACTS} is not what hfspec writes beside a graph; compile again.") from error
        super().__init__(folder / GRAPH, threads)

    def __call__(self, rows: Sequence[Mapping[str, list[int]]], **arrays: Any) -> list[Any]:
        """The graph's outputs for rows of tokens, padded on the right. ``arrays``: its other inputs."""
        inputs = filled(rows, self.pad, "right", [name for name in self.inputs if name not in arrays])
        return self.run({**inputs, **arrays})

    def pooled(self, vectors: Any, mask: Any) -> Any:
        """Vectors of sentences, pooled from the graph's vectors of tokens for rows with this mask."""
        from hfspec.libraries.onnxruntime.pooling import pooled

        assert self.pooling is not None, "asked of graphs that leave the pooling open"
        return pooled(vectors, mask, pooling_modes(self.pooling["config"]), normalize=self.pooling["normalize"])


def session(path: Path, threads: int | None = None) -> Any:
    """A graph's session on the CPU; raises StorageError where onnxruntime cannot read it."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others need the processor too
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library raises errors of its own, all below Exception
        lines = str(error).replace(str(path), path.name).strip().splitlines()
        reason = lines[0] if lines else type(error).__name__
        raise StorageError(
            f"onnxruntime cannot load the graph {path.name}: {reason}; compile the artifact again."
        ) from error


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{path.name}, which stands beside a graph, cannot be read: {error}.") from error
    return facts


def _config(facts: Mapping[str, Any]) -> SimpleNamespace:
    """As runners read a config of transformers: labels by their numbers."""
    labels = {int(number): name for number, name in (facts.get("id2label") or {}).items()}
    return SimpleNamespace(**{**facts, "id2label": labels})
