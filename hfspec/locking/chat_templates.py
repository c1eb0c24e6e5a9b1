"""The chat templates of a tokenizer, found as the library finds them, without running any.

chat_template.jinja stands before a chat_template.json, and that before the key in tokenizer_config.json
(https://huggingface.co/docs/transformers/chat_templating_writing); additional_chat_templates/ holds named ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

DEFAULT = "default"
ADDITIONAL = "additional_chat_templates"


def chat_templates(paths: Iterable[str], read: Callable[[str], Path]) -> dict[str, str]:
    """Name -> text of every chat template in a source's files; ``read`` gives a local file for a path.

    A file that is not what its name says holds no template: the plan refuses it where it matters.
    """
    names = sorted(paths)
    templates: dict[str, str] = {}
    for name in ("tokenizer_config.json", "chat_template.json"):
        for path in _named(names, name):
            templates.update(_in_json(read(path)))
    for path in _named(names, "chat_template.jinja"):
        templates[DEFAULT] = _text(read(path))
    for path in names:
        place = PurePosixPath(path)
        if place.parent.name == ADDITIONAL and place.suffix == ".jinja":
            templates[place.stem] = _text(read(path))
    return templates


def _named(paths: list[str], name: str) -> Iterator[str]:
    """The file of this name nearest to the top: a sentence-transformers module keeps its tokenizer in its folder."""
    yield from sorted((path for path in paths if PurePosixPath(path).name == name), key=lambda p: (p.count("/"), p))[:1]


def _text(file: Path) -> str:
    return file.read_bytes().decode("utf-8", "replace")


def _in_json(file: Path) -> Iterator[tuple[str, str]]:
    try:
        document = json.loads(_text(file))
    except (ValueError, RecursionError):
        return
    template: Any = document.get("chat_template") if isinstance(document, dict) else None
    if isinstance(template, str):
        yield DEFAULT, template
    for entry in template if isinstance(template, list) else ():
        if isinstance(entry, dict) and isinstance(entry.get("template"), str):
            yield str(entry.get("name", DEFAULT)), entry["template"]
