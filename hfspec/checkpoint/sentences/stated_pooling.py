"""A checkpoint without modules.json, with the pooling that the spec states for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hfspec.checkpoint.config import library_config, raw_config
from hfspec.checkpoint.graphs.header import SENTENCE, read_graph
from hfspec.checkpoint.sentences.sentence_kind import refuse_other_kinds
from hfspec.checkpoint.source_files import MODULES, SourceFiles
from hfspec.checkpoint.spec_sources import Sources
from hfspec.ir.problem import KeyPath

AT: KeyPath = ("pooling",)
FOLDER = "1_Pooling"
TYPE = "sentence_transformers.models."


def with_pooling(sources: Sources) -> Sources:
    """Add the modules that a spec's ``pooling`` stands for, as sentence-transformers saves them.

    Args:
        sources: The spec and the files of its sources.

    Returns:
        The same, with modules.json and the pooling's config among the model's files; unchanged without the key.

    Raises:
        SpecError: The checkpoint says itself how it pools, or is no encoder of texts.
    """
    mode, files = sources.spec.pooling, sources.model
    if mode is None:
        return sources
    if files.has(MODULES):
        message = f"the source has a {MODULES}, which says how token embeddings become one embedding"
        raise files.refusal("conflict", message, at=AT, found=mode, remedy="remove `pooling`")
    refuse_other_kinds(files, sources.task)
    kinds = (("Transformer", ""), ("Pooling", FOLDER))
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"{TYPE}{kind}"}
        for index, (kind, path) in enumerate(kinds)
    ]
    pooling = {"word_embedding_dimension": _width(sources), "pooling_mode": mode, "include_prompt": True}
    made = {MODULES: _json(modules), f"{FOLDER}/config.json": _json(pooling)}
    return replace(sources, model=replace(files, made=made))


def graph_pools(files: SourceFiles, graph: str | None) -> bool:
    """Whether a graph of the source gives the embeddings themselves; True for one that cannot be read, of which its own
    examination says more.
    """
    if graph is None or not files.has(graph):
        return False
    try:
        return SENTENCE in {value.name for value in read_graph(files.reader.fetch(graph)).outputs}
    except ValueError:
        return True


def _width(sources: Sources) -> Any:
    files = sources.model
    if sources.spec.trust_remote_code:
        return raw_config(files).get("hidden_size")
    return getattr(library_config(files), "hidden_size", None)


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2) + "\n").encode()
