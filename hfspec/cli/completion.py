"""The words that a shell offers when Tab is pressed: tasks, libraries, and overrides of the keys of a document."""

from __future__ import annotations

import os
from pathlib import Path

import typer

from hfspec.ir.artifact import SPEC_SUFFIXES

PLACES = ("spec", "paths", "sides", "targets", "overrides")  # the parameters that hold documents and overrides


def complete_overrides(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete an override of the document that the command has been given.

    Args:
        ctx: The command, with what stands before the cursor.
        incomplete: What is written of the override. bash parts words at ``=``, and replaces the last part alone.

    Returns:
        What the word may become; nothing where it may be a file, which the shell itself completes.
    """
    words = _given(ctx)
    places = [Path(text) for text in words if os.path.lexists(text)]
    files = [place for place in places if place.suffix in SPEC_SUFFIXES and place.is_file()]
    after_key = _key_before_equals(words)
    if not after_key and (not places or (not incomplete and "spec" not in ctx.params)):
        return []
    overrides = _completions(f"{after_key}{incomplete}", files[0] if files else None, serves=ctx.info_name == "serve")
    return [text.removeprefix(after_key) for text in overrides]


def complete_task(incomplete: str) -> list[str]:
    """Complete the name of a task.

    Args:
        incomplete: Its beginning.

    Returns:
        The names.
    """
    from hfspec.language.completion import task_names

    return [name for name in task_names() if name.startswith(incomplete)]


def complete_library(incomplete: str) -> list[str]:
    """Complete the name of a library.

    Args:
        incomplete: Its beginning.

    Returns:
        The names.
    """
    from hfspec.tasks.libraries import LIBRARIES

    return [name for name in LIBRARIES if name.startswith(incomplete)]


def _given(ctx: typer.Context) -> list[str]:
    values = (ctx.params.get(name) or () for name in PLACES)
    return [str(text) for value in values for text in (value if isinstance(value, list | tuple) else [value])]


def _key_before_equals(words: list[str]) -> str:
    """``KEY=`` where bash has made words of it: KEY and = before the value, KEY alone before an empty one."""
    if len(words) > 1 and words[-1] == "=":
        return f"{words[-2]}="
    if len(words) > 1 and "=" not in words[-1] and not os.path.lexists(words[-1]):
        return f"{words[-1]}="
    return ""


def _completions(text: str, file: Path | None, *, serves: bool) -> list[str]:
    from hfspec.batch.document.loading import BATCH, is_batch
    from hfspec.language.completion import completions
    from hfspec.language.kind import SPEC
    from hfspec.serving.fleet.kinds import FLEET
    from hfspec.serving.fleet.recognition import is_fleet

    if serves or (file is not None and is_fleet(file)):
        return completions(text, file, FLEET)
    return completions(text, file, BATCH if file is not None and is_batch(file) else SPEC)
