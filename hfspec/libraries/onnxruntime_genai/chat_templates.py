"""Chat templates of checkpoints, rendered as the library that they are written for renders them.

https://huggingface.co/docs/transformers/chat_templating_writing: Jinja in a sandbox, without the white space of blocks,
with loop controls, ``raise_exception``, ``strftime_now``, a ``tojson`` that leaves letters as they are, and a block
``generation`` around what the assistant says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

TEMPLATE, TEMPLATES = "chat_template.jinja", "additional_chat_templates"


def templates(folder: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """The templates by their names, ``default`` the one that counts. A file of its own comes before the config."""
    stated = config.get("chat_template")
    found: dict[str, str] = {}
    if isinstance(stated, str):
        found = {"default": stated}
    elif isinstance(stated, list):
        found = {str(one["name"]): str(one["template"]) for one in stated if {"name", "template"} <= set(one)}
    older = folder / "chat_template.json"
    if older.is_file():
        value = json.loads(older.read_bytes())
        found |= (
            {"default": str(value["chat_template"])} if isinstance(value, dict) and "chat_template" in value else {}
        )
    if (folder / TEMPLATE).is_file():
        found["default"] = (folder / TEMPLATE).read_text(encoding="utf-8")
    for path in sorted((folder / TEMPLATES).glob("*.jinja")):
        found[path.stem] = path.read_text(encoding="utf-8")
    return found


def rendered(template: str, **values: Any) -> str:
    """The template filled with these values; raises what Jinja and the template itself raise."""
    return str(_compiled(template).render(**values))


@cache
def _compiled(template: str) -> Any:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block around what the assistant says: its text, nothing more."""

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    Generation.tags = {"generation"}

    def raise_exception(message: str) -> None:
        raise jinja2.exceptions.TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment.from_string(template)


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, **{"ensure_ascii": False, **options})
