"""The model's card and licence: carried along, or their absence said plainly."""

from __future__ import annotations

import re
from pathlib import PurePath

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.plan import CopyFile, WriteBytes

CARDS = ("README.md", "readme.md", "Readme.md", "model_card.md")
LICENCES = ("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "LICENCE.txt", "LICENCE.md", "COPYING", "license.txt")
FRONT_MATTER = re.compile(r"\A\ufeff?---\r?\n(.*?)\r?\n---", re.DOTALL)
DECLARED = re.compile(r"^license(_name|_link)?:[ \t]*[\"']?([^\r\n\"'#]+?)[\"']?[ \t]*\r?$", re.MULTILINE)


def card(files: SourceFiles, name: str) -> CopyFile | WriteBytes:
    """README.md: the checkpoint's own card, or a text that says there is none."""
    found = _first(files, CARDS)
    if found:
        return _copy(files, found, "README.md")
    text = f"# {name}\n\nThe model's source ({_where(files)}) has no model card.\n"
    return WriteBytes("README.md", text.encode())


def licence(files: SourceFiles) -> tuple[CopyFile | WriteBytes, str]:
    """LICENSE: the checkpoint's own text, or what its card declares, or that nothing is said; and a note on the latter
    two, empty for the first.
    """
    found = _first(files, LICENCES)
    if found:
        return _copy(files, found, "LICENSE"), ""
    declared = _declared(files)
    if declared:
        text = f"The card of the model ({_where(files)}) declares its licence as: {declared}\n"
        return WriteBytes("LICENSE", (text + "Its source carries no licence text.\n").encode()), ""
    text = f"The model's source ({_where(files)}) carries no licence text and declares none.\n"
    return WriteBytes("LICENSE", text.encode()), "The model's source declares no licence."


def card_files(files: SourceFiles) -> frozenset[str]:
    """The source's files that go to the top of the artifact instead of into model/."""
    return frozenset(path for path in (_first(files, CARDS), _first(files, LICENCES)) if path)


def _declared(files: SourceFiles) -> str:
    found = _first(files, CARDS)
    if not found:
        return ""
    front = FRONT_MATTER.match(files.content(found).decode("utf-8", errors="replace"))
    entries = dict(DECLARED.findall(front.group(1))) if front else {}
    parts = [entries.get("", ""), entries.get("_name", ""), entries.get("_link", "")]
    return ", ".join(part for part in parts if part)


def _first(files: SourceFiles, names: tuple[str, ...]) -> str:
    return next((name for name in names if files.has(name)), "")


def _copy(files: SourceFiles, path: str, target: str) -> CopyFile:
    file = files.file(path)
    return CopyFile(target, files.role, path, file.size, file.sha256)


def _where(files: SourceFiles) -> str:
    location = files.pin.location
    return f"{files.pin.kind} {PurePath(location).name if files.pin.kind == 'path' else location}"
