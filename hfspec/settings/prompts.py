"""The text that is put before each text: by its name among the checkpoint's prompts, as it is, or by the text's role.

As sentence-transformers has it (https://sbert.net, package reference, SentenceTransformer.encode, encode_query and
encode_document). A role takes the first of its prompts that the checkpoint states, and none where it states none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hfspec.errors import ParamsError
from hfspec.settings.precedence import Settings

ROLES: Mapping[str, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}
# Every embedding model has prompts of these names, empty unless the checkpoint states them.
ALWAYS = ("document", "query")
CHOICES = ("prompt", "prompt_name", "role")


class Prompts:
    """The prompts of a checkpoint. ``stated``: its config_sentence_transformers.json. ``roles``: whether the model
    tells queries from documents, as one that embeds texts does and one that reads pairs does not.
    """

    def __init__(self, config: Mapping[str, Any], *, roles: bool = True) -> None:
        own = {str(name): text or "" for name, text in (config.get("prompts") or {}).items()}
        self.stated: dict[str, str] = own
        self.by_name: dict[str, str] = {**(dict.fromkeys(ALWAYS, "") if roles else {}), **own}

    def fault(self, name: str | None) -> str:
        """Why no prompt has this name; empty when one has, or when it is None."""
        if name is None or name in self.by_name:
            return ""
        names = ", ".join(sorted(self.by_name)) or "none"
        return f"prompt_name {name!r} is not one of the model's prompts; they are: {names}"

    def check(self, settings: Settings) -> None:
        """Raises ParamsError when the settings name a prompt that the checkpoint does not have."""
        if fault := self.fault(settings.get("prompt_name")):
            raise ParamsError(f"{fault}.")

    def of_role(self, role: str) -> str:
        """The prompt of queries or of documents; empty where the checkpoint states none."""
        return next((self.stated[name] for name in ROLES[role] if name in self.stated), "")

    def choice(self, settings: Settings) -> str:
        """Which of CHOICES decides: the one set in the highest layer, the first of them in the same; empty for none."""
        names = [name for name in CHOICES if settings.get(name) is not None]
        return max(names, key=settings.rank, default="")

    def text(self, settings: Settings) -> str:
        """The text put before each text."""
        choice = self.choice(settings)
        if choice == "role":
            return self.of_role(settings["role"])
        if choice == "prompt_name":
            return self.by_name[settings["prompt_name"]]
        return str(settings["prompt"]) if choice else ""
