"""The model's card and licence: carried along, or their absence said plainly."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.plan import CopyFile, WriteBytes
from hfspec.ir.source_kinds import SOURCE_KINDS

CARDS = ("README.md", "readme.md", "Readme.md", "model_card.md")
# In any case: LICENSE, licence.txt, LICENSE-MIT, COPYING.md.
LICENCE = re.compile(r"(?:licen[cs]e|copying)(?:[-_][\w.-]+?)?(?:\.(?:txt|md|rst))?", re.IGNORECASE)
FRONT_MATTER = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
# A head with more brackets than that is no card's, and would keep the parser busy for minutes.
MOST_BRACKETS = 5000
DECLARED = ("license", "license_name", "license_link")


def card(files: SourceFiles, name: str) -> CopyFile | WriteBytes:
    """README.md: the checkpoint's own card, or a text that says there is none."""
    path = _first(files, CARDS)
    if path:
        return _copy(files, path, "README.md")
    text = f"# {name}\n\nThe model's source ({where(files)}) has no model card.\n"
    return WriteBytes("README.md", text.encode())


def licence(files: SourceFiles) -> tuple[CopyFile | WriteBytes, str]:
    """LICENSE: the checkpoint's own text, or what its card declares, or that nothing is said; and a note on the latter
    two, empty for the first.
    """
    path = _licence_file(files)
    if path:
        return _copy(files, path, "LICENSE"), ""
    statement = _declared(files)
    if statement:
        text = f"The card of the model ({where(files)}) declares its licence as: {statement}\n"
        return WriteBytes("LICENSE", (text + "Its source carries no licence text.\n").encode()), ""
    text = f"The model's source ({where(files)}) carries no licence text and declares none.\n"
    return WriteBytes("LICENSE", text.encode()), "The model's source declares no licence."


def card_files(files: SourceFiles) -> frozenset[str]:
    """The source's files that go to the top of the artifact instead of into model/."""
    return frozenset(path for path in (_first(files, CARDS), _licence_file(files)) if path)


def front_matter(files: SourceFiles) -> dict[str, Any]:
    """The entries at the head of the card, by key; empty when there is no card, or no YAML mapping at its head."""
    path = _first(files, CARDS)
    front = FRONT_MATTER.match(files.content(path).decode("utf-8-sig", errors="replace")) if path else None
    return _entries(front.group(1)) if front else {}


def where(files: SourceFiles) -> str:
    """The source in words, at its commit where it has one, without a path of this machine."""
    pin = files.pin
    name = PurePath(pin.location).name if SOURCE_KINDS[pin.kind].is_local else pin.location
    return f"{pin.kind} {name} at {pin.pinned}" if pin.pinned else f"{pin.kind} {name}"


def _declared(files: SourceFiles) -> str:
    entries = front_matter(files)
    values = [entries.get(key) for key in DECLARED]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return ", ".join(" ".join(text.split()) for text in texts if isinstance(text, str) and text.strip())


def _entries(front: str) -> dict[str, Any]:
    """The front matter of a card; empty when it is no YAML mapping."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if front.count("[") + front.count("{") > MOST_BRACKETS:
        return {}
    try:
        value = YAML(typ="safe", pure=True).load(front)
    except (YAMLError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _licence_file(files: SourceFiles) -> str:
    """The shortest name is the whole licence; longer ones are of parts."""
    paths = [path for path in files.paths if LICENCE.fullmatch(path)]
    return min(paths, key=lambda path: (len(path), path), default="")


def _first(files: SourceFiles, names: tuple[str, ...]) -> str:
    return next((name for name in names if files.has(name)), "")


def _copy(files: SourceFiles, path: str, target: str) -> CopyFile:
    file = files.file(path)
    return CopyFile(target, files.role, path, file.size, file.sha256)
