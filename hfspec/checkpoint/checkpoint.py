"""A checkpoint and the components that run with it, each part read by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hfspec.checkpoint.adapters.adapted import Pair
from hfspec.checkpoint.adapters.adapter import Adapter, read_adapter
from hfspec.checkpoint.architecture import class_config, encoder_class, task_class
from hfspec.checkpoint.config import library_config, raw_config
from hfspec.checkpoint.label_names import label_problems
from hfspec.checkpoint.probe import probe
from hfspec.checkpoint.processors import processor_class
from hfspec.checkpoint.remote_code.class_references import CONFIG, MODEL
from hfspec.checkpoint.remote_code.reviewed import Code, remote_code
from hfspec.checkpoint.sentences.modules import Module, modules_of
from hfspec.checkpoint.sentences.stated_pooling import graph_pools
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.spec_sources import Sources
from hfspec.checkpoint.vocabulary import Tokenizer, read_tokenizer, unread_tokenizer
from hfspec.checkpoint.weights.fit import Fit
from hfspec.checkpoint.weights.quantised import packages, quantiser_problems
from hfspec.checkpoint.weights.saving import UNCHANGED
from hfspec.checkpoint.weights.stored_dtype import quantised_cast, resolved_dtype
from hfspec.checkpoint.weights.weight_files import WeightGroup, has_weights, weight_group
from hfspec.errors import SpecError
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.plan import Merging, TensorMove
from hfspec.ir.problem import Problem
from hfspec.ir.spec import Spec
from hfspec.tasks.task import PROCESSOR, Task

T = TypeVar("T")


class ProblemList:
    """Every problem of a checkpoint so far, so that one broken part does not hide another."""

    def __init__(self) -> None:
        self._problems: list[Problem] = []

    def add(self, *problems: Problem) -> None:
        self._problems.extend(problems)

    def attempt(self, step: Callable[[], T]) -> T | None:
        """The result of a step; None where it raises SpecError, whose problems are kept."""
        try:
            return step()
        except SpecError as error:
            self.add(*error.problems)
            return None

    def raise_if_any(self) -> None:
        """Raises SpecError with all problems, each once."""
        if self._problems:
            raise SpecError(tuple(dict.fromkeys(self._problems)))


@dataclass(frozen=True, slots=True)
class ModelClass:
    """The class that runs the model."""

    name: str
    of_library: type[Any] | None
    """The class itself; None for one of reviewed code, which is not run here."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint with its components and its adapter. The fields that have a default are known once the parts were
    held against each other (``examine``).
    """

    folder: str
    """Where the transformers checkpoint lies in the source, empty or ending with a slash."""
    modules: tuple[Module, ...]
    config: Mapping[str, Any]
    """config.json as it is written."""
    library_config: Any
    """The library's value of config.json."""
    code: Code
    """The reviewed code."""
    model_class: ModelClass
    weights: WeightGroup
    """The weight files of the model; those of other modules are ``module_weights``."""
    dtype: str
    """Torch's name of the deployment's dtype."""
    pair: Pair | None
    """The model with the adapter that the spec puts on it; None without one."""
    tokenizer: Tokenizer | None
    processors: Mapping[str, str]
    """Each component but the tokenizer -> its class."""
    is_pooled: bool
    """Whether nothing but a graph of the source makes its embeddings, and gives them as they are."""
    fit: Fit | None = None
    """None for a quantised checkpoint, whose tensors only the quantiser understands, and for a model of reviewed code,
    which is not run.
    """
    module_weights: tuple[WeightGroup, ...] = ()
    dimension: int | None = None
    """How many numbers the answer for one row has, where the task gives an array and the checkpoint says so."""
    needs_sentence_transformers: bool = False
    """Whether the runtime needs sentence-transformers itself."""
    expanded_bytes: int | None = None
    """The memory of the model where its quantised weights are expanded at load, None for weights that are not."""
    notes: tuple[str, ...] = ()

    @property
    def groups(self) -> tuple[WeightGroup, ...]:
        """All weight files, the model's first."""
        return (self.weights, *self.module_weights)

    @property
    def is_graph_alone(self) -> bool:
        """Whether the source has a graph and no weights beside it."""
        return not self.weights.headers

    @property
    def components(self) -> FrozenDict:
        """Each component of the task -> its class."""
        tokenizer = {"tokenizer": self.tokenizer.class_name} if self.tokenizer else {}
        return FrozenDict({**self.processors, **tokenizer})

    @property
    def adapter(self) -> Adapter | None:
        """The adapter that is put beside the model; None where it is merged."""
        return self.pair.beside if self.pair else None

    @property
    def labels(self) -> int | None:
        """How many labels the adapter's head tells apart, where config.json says another number."""
        return self.fit.labels if self.fit else None

    @property
    def changes(self) -> Mapping[str, TensorMove]:
        """The tensors that a merged adapter puts in place of the checkpoint's, by their names."""
        return self.fit.changes if self.fit else UNCHANGED

    @property
    def merging(self) -> Merging | None:
        """The model that an adapter is merged into; None where none is."""
        return self.pair.merging(self.model_class.name, self.labels) if self.pair else None

    @property
    def needs(self) -> tuple[str, ...]:
        """Every package that this checkpoint needs to run, beside those of its task."""
        return (
            *(self.tokenizer.packages if self.tokenizer else ()),
            *self.code.packages,
            *packages(self.config)[0],
            *(("sentence-transformers",) if self.needs_sentence_transformers else ()),
            *(("peft",) if self.adapter else ()),
        )


def read_checkpoint(sources: Sources, problems: ProblemList) -> Checkpoint:
    """Read every part of a checkpoint.

    Args:
        sources: The spec and the files of its sources.
        problems: Gets the problems of parts without which the others can still be looked at.

    Returns:
        The parts; tokenizer, processors and pair are empty where one has a problem.

    Raises:
        SpecError: With all problems so far, where there is no config, class or weights that the others could fit.
    """
    spec, task, files = sources.spec, sources.task, sources.model
    is_pooled = not has_weights(files) and graph_pools(files, spec.model.file)
    modules = modules_of(files, task, is_pooled=is_pooled)
    folder = modules[0].folder if modules else ""
    raw = raw_config(files, folder)
    code = remote_code(spec, task, files, sources.components, folder=folder, raw=raw)
    problems.add(*code.problems, *_unchecked_adapter(sources.adapter, code), *quantised_cast(spec, files, raw))
    problems.add(*quantiser_problems(files, raw))
    own_config = CONFIG in code.classes
    if not own_config:
        problems.add(*label_problems(files, folder, task, raw))
        problems.raise_if_any()  # over such a config the library fails in every part that reads it
    config = problems.attempt(lambda: library_config(files, folder, is_code=own_config))
    model_class = problems.attempt(lambda: _model_class(files, config, task, code)) if config is not None else None
    if model_class is not None and model_class.of_library is not None:
        config = class_config(model_class.of_library, config)
    if spec.model.file is not None and not has_weights(files, folder):
        weights: WeightGroup | None = WeightGroup(folder, {}, "", pickled=False)
    else:
        weights = problems.attempt(lambda: weight_group(files, folder))
    pair = problems.attempt(lambda: _pair(sources, raw))
    tokenizer = problems.attempt(lambda: _tokenizer(sources, folder, code))
    processors = problems.attempt(lambda: _processors(sources, code)) or {}
    if config is None or model_class is None or weights is None:
        problems.raise_if_any()
        raise AssertionError("a part is missing without a problem")
    dtype = resolved_dtype(spec, raw, weights)
    return Checkpoint(
        folder, modules, raw, config, code, model_class, weights, dtype, pair, tokenizer, processors, is_pooled
    )


def _model_class(files: SourceFiles, config: Any, task: Task, code: Code) -> ModelClass:
    if {CONFIG, MODEL} & set(code.classes):
        return ModelClass(code.class_name(MODEL), None)
    of_library = encoder_class(files, config) if task.kind == "dense" else task_class(files, config, task)
    return ModelClass(of_library.__name__, of_library)


def _pair(sources: Sources, config: Mapping[str, Any]) -> Pair | None:
    if sources.adapter is None:
        return None
    key = sources.spec.adapter
    assert key is not None, "resolve pins an adapter for a spec with one only"
    pair = Pair(sources.model, config, read_adapter(sources.adapter, sources.task), key)
    pair.check()
    return pair


def _unchecked_adapter(adapter: SourceFiles | None, code: Code) -> Iterator[Problem]:
    if adapter is not None and MODEL in code.classes:
        yield adapter.problem(
            "remote-code",
            "whether an adapter fits a model of reviewed code cannot be seen without running the code",
            remedy="merge the adapter into the checkpoint with peft, and name the merged one as the model",
        )


def _settings(spec: Spec) -> dict[str, Any]:
    """The settings of a call without params, as far as the spec sets them."""
    return {**thaw(spec.inference), **{name: param.default for name, param in spec.signature.params.items()}}


def _tokenizer(sources: Sources, folder: str, code: Code) -> Tokenizer | None:
    own_source = sources.tokenizer
    if "tokenizer" not in sources.task.components:
        return None
    if "tokenizer" in code.classes:
        return unread_tokenizer(own_source or sources.model, "" if own_source else folder, code.class_name("tokenizer"))
    task_probe = probe(sources.task, sources.model, folder, own_source or sources.model, _settings(sources.spec))
    if own_source is None:
        return read_tokenizer(sources.model, folder, FrozenDict(), task_probe)
    return read_tokenizer(own_source, "", sources.spec.components.options("tokenizer"), task_probe)


def _processors(sources: Sources, code: Code) -> dict[str, str]:
    """Each component but the tokenizer -> its class; a processor only where the spec brings one."""
    names = [name for name in sources.task.components if name != "tokenizer"]
    processor = sources.components.get(PROCESSOR)
    files_by_name = {name: sources.components.get(name) or processor or sources.model for name in names}
    if processor is not None:
        files_by_name[PROCESSOR] = processor
    options = sources.spec.components.options
    return {
        name: code.class_name(name) or processor_class(files, name, options(name))
        for name, files in files_by_name.items()
    }
