"""A third library, as small as one can be: other files than those of transformers, no torch, words that are counted.

Its row and its task are put in the tables by ``known``; nothing else of hfspec knows of it.
"""

from __future__ import annotations

import gc
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from hfspec.checkpoint.requirements import requirement_lines, versions
from hfspec.checkpoint.resolved_spec import name_of, resolved_spec, source_record
from hfspec.checkpoint.signature import signature
from hfspec.checkpoint.spec_sources import Sources
from hfspec.errors import SourceError, SpecError, UsageError
from hfspec.inputs.row import Row
from hfspec.ir.artifact import Deployment, Manifest
from hfspec.ir.canonical import digest_of
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.pins import Reader
from hfspec.ir.plan import CopyFile, Plan
from hfspec.ir.spec import Spec
from hfspec.language import composed
from hfspec.language.schema import composed_schema
from hfspec.runtime.io.answers import Table
from hfspec.runtime.loading.placement import Placement
from hfspec.runtime.loading.request import Loaded, LoadRequest
from hfspec.runtime.runner import Runner
from hfspec.runtime.scheduling.batching import Item
from hfspec.settings.precedence import Settings
from hfspec.sources.selection import Selection
from hfspec.tasks import libraries, table, text_classification
from hfspec.tasks.libraries import Library
from hfspec.tasks.task import Task

NAME = "onnx-words"
CONFIG = "genai_config.json"
FILES = re.compile(r"genai_config\.json|[^/]+\.onnx(\.data)?|tokenizer[^/]*\.json")
HERE = __name__
ROW = Library(
    NAME,
    layout=f"{HERE}:select",
    planning=f"{HERE}:plan",
    placing=f"{HERE}:place",
    loading=f"{HERE}:WordCount",
    components=f"{HERE}:components",
    pipeline=f"{HERE}:pipeline",
    trust=f"{HERE}:faults",
    packages=("numpy",),
    spec=f"{HERE}:Words",
)
TASK = replace(
    text_classification.TASK,
    library=NAME,
    inputs=text_classification.TASK.inputs[:1],
    settings=(),
    components=(),
    auto_class="",
    runner=f"{HERE}:WordCount",
)


class Words(Spec):
    """A model that counts words."""

    lower_case: bool = Field(default=False, description="A key that no other library has.")


def known() -> None:
    """Put the library in the tables, as its row and its task would be in their files."""
    for table_, key, value in (
        (libraries.LIBRARIES, NAME, ROW),
        (table.TASKS, (NAME, TASK.name), f"{HERE}:TASK"),
    ):
        (rows,) = gc.get_referents(table_)
        rows[key] = value
    composed.schema().update(composed_schema())  # as `make docs` writes it


def select(names: Sequence[str], reader: Reader, location: str, task: Task) -> Selection:
    needed = sorted(name for name in names if FILES.fullmatch(name))
    if CONFIG not in needed:
        raise SourceError(f"{location} has no {CONFIG}.")
    return Selection(tuple(needed), tuple((name, "not used by the library") for name in sorted(set(names) - {*needed})))


def plan(sources: Sources) -> Plan:
    spec, model, task = sources.spec, sources.model, sources.task
    scores = model.json(CONFIG).get("scores")
    if not isinstance(scores, dict):
        raise SpecError([model.problem("config-invalid", "the config has no scores", found=str(scores))])
    document = resolved_spec(spec, name := name_of(spec, sources.tree), sources.resolved)
    found = versions(*ROW.packages)
    steps = tuple(CopyFile(f"model/{one.path}", "model", one.path, one.size, one.sha256) for one in model.pin.files)
    return Plan(
        name=name,
        spec_document=document,
        spec_digest=digest_of(thaw(document)),
        sources=tuple(map(source_record, sources.all)),
        deployment=Deployment(
            NAME, task.name, spec.task, "WordCount", "float32", spec.outputs, None, *[FrozenDict()] * 4
        ),
        signature=signature(spec, task, None),
        steps=steps,
        parameters=len(scores),
        weight_bytes=sum(step.size for step in steps),
        memory_bytes=0,
        settings=(),
        requirements=requirement_lines(found),
        versions=found,
        metadata=spec.metadata,
        input_example=spec.input_example,
        run=False,
    )


def place(
    manifest: Manifest,
    *,
    device: str | None,
    device_map: Any,
    threads: int | None,
    backend: str | None,
) -> Placement:
    if device not in (None, "cpu") or device_map or threads or backend:
        raise UsageError(f"a model of {NAME} runs on one thread of the CPU.")
    return Placement("cpu", backend=NAME)


def faults(manifest: Manifest) -> list[tuple[str, str]]:
    name = manifest.deployment.model_class
    return [] if name == "WordCount" else [("artifact.json", f"{name!r} as the model's class")]


class WordCount(Runner):
    """The sum of the scores of a text's words."""

    def __init__(self, request: LoadRequest) -> None:
        super().__init__(request)
        self.scores = json.loads((request.model_folder / CONFIG).read_text())["scores"]
        self.loaded = Loaded(model=self.scores)

    def preprocess(self, rows: Sequence[Row], settings: Settings) -> list[Item[str]]:
        return [Item(row.number, 1, row.values["text"]) for row in rows]

    def run(self, batch: Sequence[Item[str]], settings: Settings) -> list[float]:
        return [sum(self.scores.get(word, 0.0) for word in item.content.split()) for item in batch]

    def standard(self, results: Sequence[float], settings: Settings) -> Table:
        rows = tuple(("good" if score > 0 else "bad", score) for score in results)
        return Table({"label": "string", "score": "double"}, rows)

    def full(self, results: Sequence[float], settings: Settings) -> list[dict[str, Any]]:
        return [{"score": score} for score in results]


def components(runner: WordCount) -> dict[str, Any]:
    return {"model": runner.scores}


def pipeline(runner: WordCount) -> Any:
    raise UsageError(f"{runner.request.task.library} has no pipelines.")
