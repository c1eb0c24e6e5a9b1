"""Files with hardly any key of a spec: parts that specs are composed of, fleet files and batch files."""

from __future__ import annotations

from collections.abc import Sequence

from hfspec.ir.problem import Problem
from hfspec.ir.tree import Tree

# The keys of which any makes a file without those of a spec a fleet file.
FLEET_KEYS = frozenset({"models", "server"})
# The keys of which two make such a file a batch file.
BATCH_KEYS = frozenset({"artifact", "input", "output"})
# The keys without which no file is a spec.
NEEDED = ("spec_version", "library", "task", "model")
PATHS = tuple((name,) for name in NEEDED)


def as_part(tree: Tree, problems: Sequence[Problem]) -> Sequence[Problem]:
    """Say of a document with hardly any key of a spec that it is a part of one.

    Args:
        tree: The document.
        problems: Its problems.

    Returns:
        The same problems, or one in the place of many.
    """
    missing = [problem for problem in problems if problem.code == "missing-key" and problem.path in PATHS]
    if len(missing) < len(NEEDED):
        return problems
    if FLEET_KEYS & set(tree.value):
        remedy = "Serve it with `hfspec serve`, or check it with `hfspec validate`."
        return [Problem("missing-key", "The file is a fleet file, not a spec.", tree.origin(()), remedy=remedy)]
    if len(BATCH_KEYS & set(tree.value)) > 1:
        remedy = "Run it with `hfspec batch`, or check it with `hfspec validate`."
        return [Problem("missing-key", "The file is a batch file, not a spec.", tree.origin(()), remedy=remedy)]
    names = ", ".join(f"`{problem.path[0]}`" for problem in missing)
    remedy = (
        "Write them, or begin with `hfspec init`. A part that specs are composed of is not a spec: give the part, or "
        "its folder, a name that begins with `_`, and begin it with the line `# @package _global_`."
    )
    message = f"The file has none of the keys that a spec needs: {names}."
    one = Problem("missing-key", message, tree.origin(()), remedy=remedy)
    return [one, *(problem for problem in problems if problem not in missing)]
