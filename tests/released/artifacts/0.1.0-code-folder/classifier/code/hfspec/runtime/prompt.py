"""The text that a model reads of a row: its prompt, with the words of the deployment's template around it.

Every task whose input is a prompt gets it here, a conversation's message included.
"""

from __future__ import annotations

from collections.abc import Mapping

from hfspec.errors import InputError
from hfspec.tasks.prompt_template import prompt_template
from hfspec.tasks.task import Task


def filled(template: str | None, prompt: str, row: int | None = None) -> str:
    """The template with the prompt in its one slot, whatever that is called; without a template, the prompt.

    Raises InputError, naming the row, for a template of several slots, which one text cannot fill.
    """
    if template is None:
        return prompt
    parsed = prompt_template(template)
    if len(parsed.slots) > 1:
        raise InputError(
            f"the prompt template has the slots {', '.join(parsed.slots)}, which one text cannot fill;"
            " give a row with these columns.",
            row=row,
        )
    return parsed.filled(dict.fromkeys(parsed.slots, prompt))


def prompt_text(task: Task, template: str | None, values: Mapping[str, str]) -> str:
    """The prompt, as the model reads it, of a row with these values; each is put into its slot exactly as it is."""
    parsed = None if template is None else prompt_template(template)
    if parsed is None or parsed.is_plain:
        return filled(template, values[str(task.inputs[0].name)])
    return parsed.filled(values)
