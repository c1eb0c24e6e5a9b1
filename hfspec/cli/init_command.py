"""init: a spec to begin with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hfspec.cli.completion import complete_library, complete_task
from hfspec.cli.progress import tell
from hfspec.cli.spec_commands import file_problems
from hfspec.errors import SpecError, UsageError
from hfspec.ir.artifact import SPEC_SUFFIXES

if TYPE_CHECKING:
    from hfspec.checkpoint.starter import Start

SCHEMA_FILE = Path("schemas", "spec.schema.json")
EXAMPLE = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
TASK, LIBRARY = "text-classification", "transformers"
PLACE = Path("spec.yaml")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(short_help="Write a spec to begin with, from a task or a checkpoint.")(init)


def init(
    task: Annotated[
        str | None,
        typer.Argument(
            metavar="[TASK]", help="The task; or the file to write, such as specs/x.yaml.", autocompletion=complete_task
        ),
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="CHECKPOINT",
            help="A folder (a Trainer's, save_pretrained's, PEFT's, of sentence-transformers or MLflow), a hub"
            " repository, package:NAME/FOLDER, or models:/NAME/1 of MLflow: looked at, and the task inferred.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="SPEC", help="The file to write; by default spec.yaml.")
    ] = None,
    task_option: Annotated[
        str | None, typer.Option("--task", metavar="TASK", help="The task.", autocompletion=complete_task)
    ] = None,
    library: Annotated[
        str | None, typer.Option(help="transformers or sentence-transformers.", autocompletion=complete_library)
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="As --from, and nothing of it is looked at: the task is what you say.")
    ] = None,
) -> None:
    """Write a spec to begin with. On a terminal it asks for what is not given; an existing file is left alone, and a
    spec that would be wrong is not kept.
    """
    from hfspec.checkpoint.inference import NO_TOKENIZER
    from hfspec.checkpoint.starter import spec_text

    if task is not None and task.endswith(SPEC_SUFFIXES):
        output, task = output or Path(task), None
    if checkpoint is not None and model is not None:
        raise UsageError("--from looks at the checkpoint and --model does not; give one of them")
    task = task or task_option
    if _asks(task, checkpoint, model, output):
        checkpoint = typer.prompt("Checkpoint (a folder or a hub repository)", default=EXAMPLE, err=True)
        output = Path(typer.prompt("Spec", default=str(PLACE), err=True))
    spec = output or PLACE
    if spec.exists():
        raise UsageError(f"{spec} exists; choose another name or edit it")
    start = _begun(spec, checkpoint, model, library)
    inferred = start.inferred
    name = task or inferred.task or ("" if checkpoint else TASK)
    if not name:
        raise UsageError(f"{checkpoint}: {inferred.reason}, so that its task is not known; give it: hfspec init TASK …")
    _write(spec, spec_text(_editor_line(spec), name, library or _library(name, inferred.library), start))
    if checkpoint is not None and inferred.task:
        tell(f"{inferred.task}: {inferred.reason}")
    if NO_TOKENIZER in inferred.hints:
        tell(f"remark: {NO_TOKENIZER}")
    print(spec)


def _asks(*options: object) -> bool:
    return not any(options) and sys.stdin is not None and sys.stdin.isatty()


def _begun(spec: Path, checkpoint: str | None, model: str | None, library: str | None) -> Start:
    from hfspec.checkpoint.inference import Inferred
    from hfspec.checkpoint.starter import Start, start, stated_source

    if checkpoint is not None:
        return start(checkpoint, spec)
    return Start(Inferred("", "", library or LIBRARY), {"model": stated_source(model or EXAMPLE, spec)})


def _library(task: str, inferred: str) -> str:
    """The library that has the task: the inferred one where it does."""
    from hfspec.tasks.table import TASKS, find

    if find(inferred, task) is not None:
        return inferred
    return next((library for library, name in TASKS if name == task), inferred)


def _write(spec: Path, text: str) -> None:
    spec.parent.mkdir(parents=True, exist_ok=True)
    with spec.open("x", encoding="utf-8") as file:  # never over a file that came meanwhile
        file.write(text)
    if problems := file_problems(spec):
        spec.unlink()
        raise SpecError(problems)


def _editor_line(spec: Path) -> str:
    """Where an editor finds the schema: the nearest one above the spec, else how to write one."""
    above = spec.absolute().parent
    for steps, folder in enumerate((above, *above.parents)):
        if (folder / SCHEMA_FILE).is_file():
            return f"# yaml-language-server: $schema={'../' * steps or './'}{SCHEMA_FILE.as_posix()}"
    return "# `hfspec schema -o schemas` writes the schema by which an editor completes and checks this file."
