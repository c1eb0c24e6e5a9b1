"""Texts that an artifact must not carry without a word: places of the machine that wrote a checkpoint, passwords,
tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.plan import CopyFile, WriteBytes, WriteWeights
from hfspec.ir.problem import dotted
from hfspec.redaction import HIDDEN, texts, tokens, without_passwords

SHORTENED = "named a path of the machine that wrote it, of which the last name is kept"
# Roots under which people and machines keep their own files.
ROOTS = (
    "home|root|Users|mnt|media|scratch|workspace|workspaces|content|kaggle|dbfs|data|opt|srv|tmp|var|private|nfs|gpfs|"
    "lustre|fsx|efs|shared|work|project|projects|storage|export|raid|ssd|nvme|gscratch|local_disk0|app"
)
PLACE = re.compile(
    rf"(?:file:/{{2,3}}|/)(?:{ROOTS})\d*/[^\n]*|[A-Za-z]:\\[^\n]*|[A-Za-z]:/\w+/[^\n]*|\\\\[^\n\\]+\\[^\n]*|~/[^\n]*"
)
# In running text only what is surely somebody's own, and no example such as /data/model.
IN_TEXT = re.compile(
    r"(?<![\w.~-])/(?:home|Users|mnt|scratch|workspace|content|kaggle/(?:input|working)|gpfs|lustre|fsx)\d*(?:/[\w.@+~=-]+)+/?"
    r"|(?<![\w])/root/(?:[\w.@+~=-]+/?)+"
    r"|(?<![\w])[A-Za-z]:\\(?:Users\\)?[\w.@+~ -]+(?:\\[\w.@+~-]+)+"
)
PLACE_KEYS = re.compile(r"(?:.*_)?(?:name_or_path|path|dir|directory|folder|file|checkpoint)", re.IGNORECASE)
TEXTS = frozenset({".md", ".txt", ".json", ".yaml", ".yml", ".jinja", ".toml", ".cfg", ".ini"})
# Data, in which a word may look like anything.
VOCABULARIES = re.compile(r"(?:tokenizer|vocab|added_tokens|merges|spiece|special_tokens_map)[^/]*\.(?:json|txt)")
LARGEST = 4_000_000
Step = CopyFile | WriteWeights | WriteBytes


@dataclass(frozen=True, slots=True)
class Cleaned:
    """``steps``: with the files that were cleaned as WriteBytes; ``changed``: path -> what was changed in it."""

    steps: tuple[Step, ...]
    changed: FrozenDict
    notes: tuple[str, ...]


def cleaned(steps: Sequence[Step], sources: Sequence[SourceFiles]) -> Cleaned:
    """The steps with no text file that names a place of another machine or a password in an address, and notes on
    those that did, and on what looks like a token in the others' text.
    """
    by_role = {files.role: files for files in sources}
    result: list[Step] = []
    changes_by_target: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    for step in steps:
        before = _content(step, by_role)
        if before is None:
            result.append(step)
            continue
        after, changes = _without_places(before, step.target)
        if changes:
            changes_by_target[step.target] = changes
            notes.append(f"{step.target}: {'; '.join(changes)}; the source's file is left as it is.")
        result.append(WriteBytes(step.target, after.encode("utf-8", "surrogateescape")) if changes else step)
        notes += _token_notes(step.target, after)
    return Cleaned(tuple(result), FrozenDict(changes_by_target), tuple(notes))


def without_secrets(metadata: FrozenDict) -> FrozenDict:
    """Metadata with ``***`` for the passwords in its addresses."""
    return FrozenDict(_mapped(metadata, without_passwords))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(item, change) for key, item in value.items()}
    return [_mapped(item, change) for item in value] if isinstance(value, list | tuple) else value


def _content(step: Step, sources: Mapping[str, SourceFiles]) -> str | None:
    """The text of a step's file; None where it is none, or too large to be a config or a card."""
    path = PurePosixPath(step.target)
    is_data = VOCABULARIES.fullmatch(path.name) and path.name != "tokenizer_config.json"
    if isinstance(step, WriteWeights) or path.suffix.lower() not in TEXTS or is_data or step.size > LARGEST:
        return None
    data = step.content if isinstance(step, WriteBytes) else sources[step.role].content(step.path)
    return data.decode("utf-8", "surrogateescape")


def _without_places(text: str, target: str) -> tuple[str, tuple[str, ...]]:
    """The text as it may go into an artifact, and what was changed in it."""
    changes: list[str] = []
    if target.endswith(".json"):
        text, keys = _json_without_places(text)
        changes += [f"{key} {SHORTENED}" for key in keys]
    else:
        shortened = IN_TEXT.sub(lambda match: _last(match.group()), text)
        lines = [
            number
            for number, (a, b) in enumerate(zip(text.split("\n"), shortened.split("\n"), strict=True), 1)
            if a != b
        ]
        if lines:
            where = f"line{'s' if len(lines) > 1 else ''} {', '.join(map(str, lines))}"
            changes.append(f"{where} {SHORTENED}")
        text = shortened
    without = without_passwords(text)
    if without != text:
        changes.append(f"a password in an address is {HIDDEN} now")
    return without, tuple(changes)


def _json_without_places(text: str) -> tuple[str, list[str]]:
    """The text with the last name for each path of a machine, nothing else of it changed; and the keys that had one."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text, []
    keys: list[str] = []
    for path, item in texts(value):
        key = str(path[-1]) if path else ""
        absolute = item.startswith("/") and len(item) > 1 and "\n" not in item and bool(PLACE_KEYS.fullmatch(key))
        if not (absolute or PLACE.fullmatch(item)):
            continue
        for literal in {json.dumps(item), json.dumps(item, ensure_ascii=False), json.dumps(item).replace("/", "\\/")}:
            text = text.replace(literal, json.dumps(_last(item), ensure_ascii=False))
        keys.append(dotted(path))
    return text, keys


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]


def _token_notes(target: str, text: str) -> Iterator[str]:
    for index, kind, excerpt in tokens(text):
        line = text.count("\n", 0, index) + 1
        yield (
            f"{target}:{line} holds what looks like {kind} ({excerpt}), and goes into the artifact as it is: take it"
            " out at the source, and revoke it where it was shared."
        )
