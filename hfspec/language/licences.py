"""The rules of ``license_policy``: entries that are nearly an identifier are taken for misspelt ones."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from hfspec.ir.patterns import UNDECLARED
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.tree import Tree
from hfspec.language.draft import Draft

# https://huggingface.co/docs/hub/repositories-licenses, the column "License identifier". The hub adds to it, and cards
# name licences of their own, so that an entry beyond it is no mistake unless it looks like one.
LISTED = """
    apache-2.0 mit openrail openrail++ bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0
    cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0
    cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0
    cdla-permissive-1.0 cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl
    gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr
    mpl-2.0 odc-by odbl openmdw-1.0 osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 grok2-community gemma unknown
    other
"""
IDENTIFIERS = tuple(LISTED.split())
PATTERN = "*?["


def problems(draft: Draft) -> Iterator[Problem]:
    """Find entries of the licence policy that are nearly an identifier.

    Args:
        draft: The spec, as its rules read it.

    Returns:
        A problem for each; what the policy's shape breaks is left to the schema.
    """
    for path, entry in draft.licences:
        yield from _misspelt(draft.tree, path, entry)


def _misspelt(tree: Tree, path: KeyPath, entry: str) -> Iterator[Problem]:
    name = entry.lower()
    if name in (*IDENTIFIERS, UNDECLARED) or any(letter in name for letter in PATTERN):
        return
    close = get_close_matches(name, (*IDENTIFIERS, UNDECLARED), n=1, cutoff=0.7)
    if close:
        message = f"{entry!r} is not a licence identifier of the hub."
        remedy = f"Where a card does name a licence so, write `{entry}*`."
        yield Problem("unknown-licence", message, tree.origin(path), path, found=entry, nearest=close[0], remedy=remedy)
