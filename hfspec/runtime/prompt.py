"""Prompt templates: a text around each prompt."""

from __future__ import annotations

from string import Formatter


def filled(template: str | None, prompt: str) -> str:
    """The template with the prompt in the place of ``{prompt}`` and ``{{``, ``}}`` as braces; without a template, the
    prompt. Nothing in the prompt is read as a template, and no other field of the template is looked up.
    """
    if template is None:
        return prompt
    return "".join(
        literal + (prompt if field == "prompt" else "") for literal, field, _, _ in Formatter().parse(template)
    )
