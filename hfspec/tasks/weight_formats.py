"""The formats that an artifact's model may have, a row each: what makes it, what loads it, which tasks it can answer.

A row's parts stand in the place of the library's own (hfspec/tasks/libraries.py); what it leaves empty stays the
library's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from hfspec.ir.artifact import Deployment
from hfspec.ir.lazy import named
from hfspec.tasks import table
from hfspec.tasks.libraries import LIBRARIES, Library
from hfspec.tasks.task import Task

SAFETENSORS, ONNX = "safetensors", "onnx"
_TABLES = ("pandas",)  # of tasks whose standard answer is a data frame


@dataclass(frozen=True, slots=True)
class GraphTask:
    """How a task is answered in a format. ``runner``: the class, ``module:NAME``; ``computes``: what the model's file
    computes, by its name in the exporter; ``packages``: those that only the task's answers need; ``examining``: a
    function of the spec's sources, for the problems of parts of the model that cannot be made in this format, empty
    where there are none; ``by_transformers``: whether it answers with the tokenizer and generate() of transformers.
    """

    runner: str
    computes: str
    packages: tuple[str, ...] = ()
    examining: str = ""
    by_transformers: bool = False


@dataclass(frozen=True, slots=True)
class WeightFormat:
    """A format of a model in an artifact."""

    name: str
    """The value of the spec's key ``format``."""
    exporting: str = ""
    """A function of the plan, the files that were built and the folder they are in: both as they are once the model is
    made in this format; empty where weights stay as they are. Raises SpecError.
    """
    taking: str = ""
    """A function of the spec's sources: what puts a file of the model that the source has already into the artifact."""
    parts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Fields of Library that have another value in this format."""
    folder: str = ""
    """In hfspec/libraries/, of what makes and runs it."""
    compiling: tuple[str, ...] = ()
    """The modules of its folder that only a compile needs."""
    makers: tuple[str, ...] = ()
    """The packages that make the model's file, whose versions the manifest records."""
    makers_extra: str = ""
    """The extra that installs them."""
    dtypes: tuple[str, ...] = ()
    """The dtypes of the weights; empty: all that the library loads."""
    tasks: Mapping[tuple[str, str], GraphTask] | None = None
    """Library and task -> how it is answered; None: every task, by its own runner."""

    @property
    def exports(self) -> bool:
        """Whether the model's file is made when the artifact is compiled."""
        return bool(self.exporting)

    def offers(self, library: str) -> tuple[str, ...]:
        """The tasks of a library that this format has, sorted."""
        if self.tasks is None:
            return table.names(library)
        return tuple(sorted(task for name, task in self.tasks if name == library))

    def library(self, name: str, task: str) -> Library:
        """The library as this format has it, for a task."""
        library = replace(LIBRARIES[name], **self.parts)
        row = (self.tasks or {}).get((name, task))
        return library if row is None else replace(library, packages=(*library.packages, *row.packages))

    def task(self, library: str, name: str) -> Task | None:
        """The task with the runner that answers it in this format; None where there is none."""
        task = table.find(library, name)
        if task is None or self.tasks is None:
            return task
        row = self.tasks.get((library, task.name))
        return None if row is None else replace(task, runner=row.runner, requirements=())

    def row(self, task: Task) -> GraphTask:
        """How a task that is offered is answered in a format that exports."""
        assert self.tasks is not None, "a format that exports says which tasks it has"
        return self.tasks[task.library, task.name]

    def computes(self, task: Task) -> str:
        """The kind of outputs of a task's graph, by its name in the exporter."""
        return self.row(task).computes

    def is_by_transformers(self, task: Task) -> bool:
        """Whether a task is answered with the tokenizer of transformers."""
        return self.tasks is None or self.row(task).by_transformers

    def export(self, *arguments: Any) -> Any:
        """The result of the row's ``exporting``."""
        return named(self.exporting)(*arguments)

    def taken(self, sources: Any) -> tuple[Any, ...]:
        """The result of the row's ``taking``; empty where it has none."""
        return named(self.taking)(sources) if self.taking else ()

    def problems(self, sources: Any) -> Iterable[Any]:
        """The result of the task's ``examining``; empty where it has none."""
        examining = "" if self.tasks is None else self.row(sources.task).examining
        found: Iterable[Any] = named(examining)(sources) if examining else ()
        return found


_RUNNERS = "hfspec.libraries.onnxruntime.runners"
_MEDIA = "hfspec.libraries.onnxruntime.media_sources:problems"


def _by_graphs_of_both(runner: str) -> GraphTask:
    """A task of encoder-decoder models, whose generate() is that of transformers."""
    examining = "hfspec.libraries.onnxruntime.encoder_decoder_source:problems"
    packages = ("torch", "transformers")
    return GraphTask(f"{_RUNNERS}.seq2seq:{runner}", "next tokens", packages, examining, by_transformers=True)


WEIGHT_FORMATS: Mapping[str, WeightFormat] = MappingProxyType(
    {
        row.name: row
        for row in (
            WeightFormat(SAFETENSORS),
            WeightFormat(
                ONNX,
                exporting="hfspec.libraries.onnxruntime.exporting:export",
                taking="hfspec.libraries.onnxruntime.own_graph:steps",
                parts=MappingProxyType(
                    {
                        "placing": "hfspec.libraries.onnxruntime.loading:place",
                        "loading": "hfspec.libraries.onnxruntime.loading:load",
                        "components": "hfspec.libraries.onnxruntime.objects:components",
                        "pipeline": "hfspec.libraries.onnxruntime.objects:pipeline",
                        "trust": "hfspec.libraries.onnxruntime.trust:faults",
                        "packages": ("numpy", "onnxruntime", "tokenizers"),
                        "has_pipelines": False,
                        "spreads": False,
                    }
                ),
                folder="onnxruntime",
                compiling=(
                    *(
                        "comparing",
                        "encoder_decoder_source",
                        "examples",
                        "exporting",
                        "measuring",
                        "media_sources",
                        "own_graph",
                        "quantization",
                    ),
                    *("refusal", "stand_ins", "torch_modules", "unheard"),
                ),
                makers=("onnx", "onnxscript", "torch", "transformers"),
                makers_extra="onnx-build",
                dtypes=("float32",),
                tasks=MappingProxyType(
                    {
                        ("sentence-transformers", "feature-extraction"): GraphTask(
                            f"{_RUNNERS}.sentences:GraphSentenceEmbedding", "sentence vectors"
                        ),
                        ("sentence-transformers", "llm/v1/embeddings"): GraphTask(
                            f"{_RUNNERS}.sentences:GraphOpenAIEmbeddings", "sentence vectors"
                        ),
                        ("sentence-transformers", "sentence-similarity"): GraphTask(
                            f"{_RUNNERS}.sentences:GraphSentenceSimilarity", "sentence vectors"
                        ),
                        ("transformers", "zero-shot-classification"): GraphTask(
                            f"{_RUNNERS}.sequences:GraphZeroShotClassification", "logits", _TABLES
                        ),
                        ("transformers", "token-classification"): GraphTask(
                            f"{_RUNNERS}.tokens:GraphTokenClassification", "token logits"
                        ),
                        ("transformers", "question-answering"): GraphTask(
                            f"{_RUNNERS}.questions:GraphQuestionAnswering", "spans"
                        ),
                        ("transformers", "feature-extraction"): GraphTask(
                            f"{_RUNNERS}.tokens:GraphTokenFeatures", "states"
                        ),
                        ("transformers", "llm/v1/embeddings"): GraphTask(
                            f"{_RUNNERS}.sentences:GraphOpenAIEmbeddings", "sentence vectors"
                        ),
                        ("sentence-transformers", "sparse-embedding"): GraphTask(
                            f"{_RUNNERS}.sparse:GraphSparseEmbedding", "sparse weights"
                        ),
                        ("sentence-transformers", "text-ranking"): GraphTask(
                            f"{_RUNNERS}.sequences:GraphTextRanking", "scores"
                        ),
                        ("transformers", "image-classification"): GraphTask(
                            f"{_RUNNERS}.media:GraphImageClassification", "image logits", (*_TABLES, "pillow"), _MEDIA
                        ),
                        ("transformers", "audio-classification"): GraphTask(
                            f"{_RUNNERS}.media:GraphAudioClassification", "sound logits", ("av", *_TABLES), _MEDIA
                        ),
                        ("transformers", "text-classification"): GraphTask(
                            f"{_RUNNERS}.sequences:GraphTextClassification", "logits", _TABLES
                        ),
                        ("transformers", "summarization"): _by_graphs_of_both("GraphSeq2Seq"),
                        ("transformers", "text2text-generation"): _by_graphs_of_both("GraphSeq2Seq"),
                        ("transformers", "translation"): _by_graphs_of_both("GraphTranslation"),
                    }
                ),
            ),
        )
    }
)


def library_of(deployment: Deployment) -> Library | None:
    """The library that runs a deployment, as its format has it; None where this hfspec does not know one of the two."""
    row = WEIGHT_FORMATS.get(deployment.format)
    if row is None or deployment.library not in LIBRARIES:
        return None
    return row.library(deployment.library, table.canonical(deployment.library, deployment.task))
