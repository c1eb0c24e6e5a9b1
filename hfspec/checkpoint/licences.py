"""What licences the sources declare, and whether the spec's policy takes them."""

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
    stated = _texts(entries.get("license")) or ([OTHER] if name else [])
    named = [f"{OTHER} ({name})" if text == OTHER and name else text for text in stated]
    return tuple(dict.fromkeys(named))


def _texts(value: Any) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [" ".join(text.split()).lower() for text in values if isinstance(text, str) and text.strip()]


def licence_problems(tree: Tree, policy: LicensePolicy | None, sources: Iterable[SourceFiles]) -> Iterator[Problem]:
    """A problem for each source whose licence the policy does not take.

    Of several licences of one source an allow-list must have all, a deny-list none.
    """
    for files in sources if policy is not None else ():
        found = licences(files) or (UNDECLARED,)
        if policy is not None and policy.allow is not None:
            refused = [one for one in found if not _in(policy.allow, one)]
            yield from _refused(tree, files, "allow", refused)
        elif policy is not None:
            yield from _refused(tree, files, "deny", [one for one in found if _in(policy.deny or (), one)])


def _in(entries: Iterable[str], licence: str) -> bool:
    """Whether an entry is the licence, or a pattern of it; `other` and its name both stand for `other (name)`."""
    name = licence.removeprefix(f"{OTHER} (").removesuffix(")") if licence.startswith(f"{OTHER} (") else licence
    known = {licence, name, OTHER} if licence.startswith(f"{OTHER} (") else {licence}
    wanted = [entry.lower() for entry in entries]
    if licence == UNDECLARED:
        return UNDECLARED in wanted
    return any(fnmatchcase(one, entry) for entry in wanted for one in known)


def _refused(tree: Tree, files: SourceFiles, kind: str, refused: list[str]) -> Iterator[Problem]:
    path: KeyPath = ("license_policy", kind)
    source = f"The source of {files.role} ({where(files)})"
    if refused == [UNDECLARED]:
        message = f"{source} declares no licence, which the policy does not take."
        remedy = (
            f"Find out under which licence it may be used, then add `{UNDECLARED}` to the list."
            if kind == "allow"
            else f"Find out under which licence it may be used, then take `{UNDECLARED}` out of the list."
        )
    else:
        message = f"{source} is under {' and '.join(refused)}, which the policy does not take."
        remedy = "Take another model, or change the policy."
    if refused:
        yield Problem("licence-refused", message, tree.origin(path), path, found=", ".join(refused), remedy=remedy)
