"""Spec and pins in, every decision out: nothing is read but small files and headers, nothing is written."""

from __future__ import annotations

from hfspec.checkpoint.source_files import refuse_unreadable
from hfspec.checkpoint.spec_sources import spec_sources
from hfspec.ir.pins import Resolved
from hfspec.ir.plan import Plan
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.tasks.libraries import LIBRARIES


def plan(spec: Spec, tree: Tree, resolved: Resolved) -> Plan:
    """Decide everything that compiling a spec will do.

    Args:
        spec: The spec, valid.
        tree: Where each of its keys was written.
        resolved: Its sources, pinned, each with a reader.

    Returns:
        Every decision about the artifact, as the library that answers plans it; of a checkpoint that is to be
        converted, those that can be made before.

    Raises:
        SpecError: With every problem of the checkpoint.
        SourceError: When a small file cannot be read.
    """
    sources = spec_sources(spec, tree, resolved)
    refuse_unreadable((sources.model, *sources.components.values(), *filter(None, [sources.adapter])))
    is_converted = spec.answering != spec.library
    result: Plan = LIBRARIES[spec.answering].part("announcing" if is_converted else "planning")(sources)
    return result
