"""The licences that the sources declare, and whether the spec's policy takes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from hfspec.checkpoint.card import front_matter, where
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.patterns import UNDECLARED
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec_keys import LicensePolicy
from hfspec.ir.tree import Tree

OTHER = "other"


def licences(files: SourceFiles) -> tuple[str, ...]:
    """The identifiers that the source's card declares (https://huggingface.co/docs/hub/repositories-licenses), in lower
    case, each once; `other (name)` for a licence of another name. A licence's text is not read for one.
    """
    entries = front_matter(files)
    name = next(iter(_texts(entries.get("license_name"))), "")
    entries_in_card = _texts(entries.get("license")) or ([OTHER] if name else [])
    names = [f"{OTHER} ({name})" if text == OTHER and name else text for text in entries_in_card]
    return tuple(dict.fromkeys(names))


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [" ".join(text.split()).lower() for text in values if isinstance(text, str) and text.strip()]


def licence_problems(tree: Tree, policy: LicensePolicy | None, sources: Iterable[SourceFiles]) -> Iterator[Problem]:
    """A problem for each source whose licence the policy does not take.

    Of several licences of one source an allow-list must have all, a deny-list none.
    """
    for files in sources if policy is not None else ():
        licences_of_source = licences(files) or (UNDECLARED,)
        if policy is not None and policy.allow is not None:
            not_allowed = [one for one in licences_of_source if not _in(policy.allow, one)]
            yield from _refused(tree, files, "allow", not_allowed)
        elif policy is not None:
            yield from _refused(tree, files, "deny", [one for one in licences_of_source if _in(policy.deny or (), one)])


def _in(entries: Iterable[str], licence: str) -> bool:
    """Whether an entry is the licence, or a pattern of it; `other` and its name both stand for `other (name)`."""
    name = licence.removeprefix(f"{OTHER} (").removesuffix(")") if licence.startswith(f"{OTHER} (") else licence
    spellings = {licence, name, OTHER} if licence.startswith(f"{OTHER} (") else {licence}
    patterns = [entry.lower() for entry in entries]
    if licence == UNDECLARED:
        return UNDECLARED in patterns
    return any(fnmatchcase(one, entry) for entry in patterns for one in spellings)


def _refused(tree: Tree, files: SourceFiles, kind: str, names: list[str]) -> Iterator[Problem]:
    path: KeyPath = ("license_policy", kind)
    source = f"The source of {files.role} ({where(files)})"
    if names == [UNDECLARED]:
        message = f"{source} declares no licence, which the policy does not take."
        remedy = (
            f"Find out under which licence it may be used, then add `{UNDECLARED}` to the list."
            if kind == "allow"
            else f"Find out under which licence it may be used, then take `{UNDECLARED}` out of the list."
        )
    else:
        message = f"{source} is under {' and '.join(names)}, which the policy does not take."
        remedy = "Take another model, or change the policy."
    if names:
        yield Problem("licence-refused", message, tree.origin(path), path, found=", ".join(names), remedy=remedy)
