"""Chat templates of checkpoints, rendered as transformers renders them.

https://huggingface.co/docs/transformers/chat_templating_writing: Jinja in a sandbox, without the white space of blocks,
with loop controls, ``raise_exception``, ``strftime_now``, a ``tojson`` that leaves letters as they are, and a block
``generation`` around the assistant's text.
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
    """The templates by their names, ``default`` the one that counts. A template's own file goes before the config."""
    own = config.get("chat_template")
    texts: dict[str, str] = {}
    if isinstance(own, str):
        texts = {"default": own}
    elif isinstance(own, list):
        texts = {str(one["name"]): str(one["template"]) for one in own if {"name", "template"} <= set(one)}
    older = folder / "chat_template.json"
    if older.is_file():
        value = json.loads(older.read_bytes())
        texts |= (
            {"default": str(value["chat_template"])} if isinstance(value, dict) and "chat_template" in value else {}
        )
    if (folder / TEMPLATE).is_file():
        texts["default"] = (folder / TEMPLATE).read_text(encoding="utf-8")
    for path in sorted((folder / TEMPLATES).glob("*.jinja")):
        texts[path.stem] = path.read_text(encoding="utf-8")
    return texts


def rendered(template: str, **values: Any) -> str:
    """The template filled with these values; raises the errors of Jinja and of the template itself."""
    return str(_compiled(template).render(**values))


@cache
def _compiled(template: str) -> Any:
    import jinja2
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """The block around the assistant's text: its text, nothing more."""

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
