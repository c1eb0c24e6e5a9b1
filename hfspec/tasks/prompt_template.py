"""Prompt templates: a text with slots, each filled with a row's value of that name.

The language is Python's format strings without their powers: ``{name}`` is a slot, ``{{`` and ``}}`` are braces. There
are no format specs, conversions, attributes or indices, and what fills a slot is never read as a template.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from hfspec.ir.signature import Column
from hfspec.tasks.task import Task

PROMPT = "prompt"
PIECE = re.compile(r"(?P<brace>\{\{|\}\})|\{(?P<slot>[^{}]*)\}|(?P<loose>[{}])|(?P<text>[^{}]+)")


@dataclass(frozen=True, slots=True)
class PromptTemplate:
    """A template, read. ``pieces``: its parts in order, each a text and whether that names a slot."""

    pieces: tuple[tuple[str, bool], ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The names of its slots, each once, in the order in which they first stand."""
        return tuple(dict.fromkeys(text for text, is_slot in self.pieces if is_slot))

    @property
    def is_plain(self) -> bool:
        """Whether the prompt itself, under whatever name the task has for it, is all that goes in."""
        return self.slots == (PROMPT,)

    def filled(self, values: Mapping[str, str]) -> str:
        """The text with each slot's value in its place, exactly as it is; raises KeyError for a slot without one."""
        return "".join(values[text] if is_slot else text for text, is_slot in self.pieces)

    def columns(self, task: Task) -> tuple[Column, ...]:
        """The columns of a row of the task under this template: its slots in the place of the prompt, where that is a
        text; in a conversation the template goes around a message, and the columns stay.
        """
        if self.is_plain or task.inputs[0].type != "string":
            return task.inputs
        others = tuple(column for column in task.inputs[1:] if column.name not in self.slots)
        return (*(Column("string", slot) for slot in self.slots), *others)


@cache
def prompt_template(text: str) -> PromptTemplate:
    """The template of this text; raises ValueError with a sentence that says what is wrong with it."""
    pieces = []
    for match in PIECE.finditer(text):
        if match["loose"]:
            raise ValueError("The template has a brace that is neither closed nor doubled.")
        is_slot = match["slot"] is not None
        if is_slot and not match["slot"].isidentifier():
            raise ValueError(_strange(match["slot"]))
        pieces.append((match["slot"] if is_slot else match["brace"][0] if match["brace"] else match["text"], is_slot))
    template = PromptTemplate(tuple(pieces))
    if not template.slots:
        raise ValueError("The template has no slot, so the prompt would be left out.")
    return template


def input_columns(task: Task, template: str | None) -> tuple[Column, ...]:
    """The columns of a row of the task, under the template if there is one."""
    return task.inputs if template is None else prompt_template(template).columns(task)


def _strange(slot: str) -> str:
    name = re.match(r"\s*\w*", slot)
    if not slot.strip():
        return "The template has `{}`, a slot without a name."
    if name is not None and name[0].strip().isidentifier() and re.search(r"[!:.\[]", slot):
        return f"The template has `{{{slot}}}`, which formats or looks into a value; values are put in as they are."
    return f"The template has `{{{slot}}}`; a slot's name has letters, digits and underscores."
