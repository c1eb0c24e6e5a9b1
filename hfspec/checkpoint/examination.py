"""A checkpoint examined for one task: everything the plan decides from, or every problem that keeps it from running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from hfspec.checkpoint.adapters.adapted import Pair
from hfspec.checkpoint.adapters.adapter import Adapter, read_adapter
from hfspec.checkpoint.architecture import class_config, encoder_class, task_class
from hfspec.checkpoint.config import library_config, raw_config
from hfspec.checkpoint.fitting import Fitted, fitted, needed
from hfspec.checkpoint.heads import head_fault, head_notes, head_problems, stated_architectures
from hfspec.checkpoint.label_names import label_problems
from hfspec.checkpoint.languages import language_problems
from hfspec.checkpoint.material import Material
from hfspec.checkpoint.notes import code_notes, pooling_notes, weight_notes
from hfspec.checkpoint.probe import probe
from hfspec.checkpoint.processors import processor_class
from hfspec.checkpoint.remote_code.class_references import CONFIG, MODEL
from hfspec.checkpoint.remote_code.reviewed import Code, remote_code
from hfspec.checkpoint.sentences.modules import (
    Module,
    dimension,
    modules_of,
    needs_the_library,
    weight_problems,
)
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.vocabulary import Tokenizer, chat_problems, read_tokenizer, unread_tokenizer, vocabulary_problems
from hfspec.checkpoint.weights.fit import Fit, shapes
from hfspec.checkpoint.weights.quantised import expanded_bytes, is_expanded, packages, quantiser_problems
from hfspec.checkpoint.weights.saving import UNCHANGED
from hfspec.checkpoint.weights.stored_dtype import QUANTISED, quantised_cast, resolved_dtype
from hfspec.checkpoint.weights.tensor_problems import fit_notes, fit_problems
from hfspec.checkpoint.weights.weight_files import WeightGroup, weight_group
from hfspec.errors import SpecError
from hfspec.formats.module_kinds import WEIGHTED
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.plan import Merging, TensorMove
from hfspec.ir.problem import Problem
from hfspec.ir.spec import Spec
from hfspec.tasks.task import PROCESSOR, Task

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Examined:
    """``folder``: where the transformers checkpoint lies in the source, empty or ending with a slash. ``groups``: its
    weights first, then those of other modules. ``fit`` is None for a quantised checkpoint, whose tensors only the
    quantiser understands, and for a model of reviewed code, which is not run. ``components``: each component of the
    task -> its class. ``dtype``: of the deployment, resolved. ``dimension``: how many numbers the answer for one row
    has, where the task gives an array and the checkpoint says so.
    ``needs_library``: whether the runtime needs sentence-transformers itself. ``packages``: what the tokenizer and
    reviewed code, and weights that are quantised, need beside the library. ``expanded_bytes``: what the model takes
    where its quantised weights are expanded at load, None for weights that are not. ``code``: the reviewed code.
    ``labels``: how many labels the adapter's head tells apart, where config.json says another number. ``adapter``: the
    one that is put beside the model; ``changes`` and ``merging``: where it is merged instead, the tensors that differ
    from the checkpoint's, by their names, and the model that it is merged into.
    """

    folder: str
    class_name: str
    config: Mapping[str, Any]
    groups: tuple[WeightGroup, ...]
    fit: Fit | None
    components: FrozenDict
    dtype: str
    dimension: int | None
    needs_library: bool
    packages: tuple[str, ...]
    expanded_bytes: int | None
    code: Code
    notes: tuple[str, ...]
    adapter: Adapter | None = None
    labels: int | None = None
    changes: Mapping[str, TensorMove] = UNCHANGED
    merging: Merging | None = None

    @property
    def needs(self) -> tuple[str, ...]:
        """Every package that this checkpoint needs to run, beside those of its task."""
        library = ("sentence-transformers",) if self.needs_library else ()
        return (*self.packages, *library, *(("peft",) if self.adapter else ()))


class _Problems:
    """Every problem found so far, so that one broken part does not hide another."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def attempt(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except SpecError as error:
            self.found.extend(error.problems)
            return None

    def settle(self) -> None:
        """Raises SpecError when there are any."""
        if self.found:
            raise SpecError(tuple(dict.fromkeys(self.found)))


def examine(material: Material) -> Examined:
    """Examine the model with the components that the spec brings, and its own of the others, and with the adapter that
    the spec puts on it.

    Raises SpecError with every problem found.
    """
    spec, task, files = material.spec, material.task, material.model
    problems = _Problems()
    parts = _parts(problems, material)
    fitted = _fitted(problems, files, parts)
    found = fitted.fit
    notes = _check_fit(problems, material, parts, found)
    _check_tokenizer(problems, material, parts, found)
    others = _other_groups(problems, files, parts.modules)
    width = problems.attempt(lambda: _width(task, files, parts.modules, parts.config))
    problems.settle()
    pair = parts.pair
    return Examined(
        folder=parts.folder,
        class_name=parts.model_class.name,
        config=parts.raw,
        groups=(parts.group, *others),
        fit=found,
        components=parts.components,
        dtype=parts.dtype,
        dimension=width,
        needs_library=task.kind == "dense" and needs_the_library(files),
        packages=(
            *(parts.tokenizer.packages if parts.tokenizer else ()),
            *parts.code.packages,
            *packages(parts.raw)[0],
        ),
        expanded_bytes=_expanded_bytes(parts),
        code=parts.code,
        adapter=pair.beside if pair else None,
        merging=pair.merging(parts.model_class.name, fitted.labels) if pair else None,
        changes=fitted.changes,
        labels=fitted.labels,
        notes=(
            *notes,
            *fitted.notes,
            *weight_notes(spec, parts.raw, parts.group, parts.dtype),
            *pooling_notes(task, parts.modules, parts.raw),
            *code_notes(spec, parts.code),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """The parts of a checkpoint, each read by itself. ``raw``: its config.json, ``config``: the library's value of it.
    ``pair``, ``tokenizer`` and ``processors`` are None where there is none, and where one has a problem.
    """

    folder: str
    modules: tuple[Module, ...]
    raw: Mapping[str, Any]
    config: Any
    code: Code
    model_class: _ModelClass
    group: WeightGroup
    dtype: str
    pair: Pair | None
    tokenizer: Tokenizer | None
    processors: Mapping[str, str] | None

    @property
    def components(self) -> FrozenDict:
        """Each component of the task -> its class."""
        tokenizer = {"tokenizer": self.tokenizer.class_name} if self.tokenizer else {}
        return FrozenDict({**(self.processors or {}), **tokenizer})


def _parts(problems: _Problems, material: Material) -> _Parts:
    """Every part read; raises SpecError with all problems so far when there is nothing that the others could fit."""
    spec, task, files, adapter = material.spec, material.task, material.model, material.adapter
    modules = modules_of(files, task)
    folder = modules[0].folder if modules else ""
    raw = raw_config(files, folder)
    code = remote_code(spec, task, files, material.own, folder=folder, raw=raw)
    problems.found.extend((*code.problems, *_unchecked_adapter(adapter, code), *quantised_cast(spec, files, raw)))
    problems.found.extend(quantiser_problems(files, raw))
    own_config = CONFIG in code.classes
    if not own_config:
        problems.found.extend(label_problems(files, folder, task, raw))
        problems.settle()  # over such a config the library fails in every part that reads it
    config = problems.attempt(lambda: library_config(files, folder, is_code=own_config))
    model_class = problems.attempt(lambda: _model_class(files, config, task, code)) if config is not None else None
    if model_class is not None and model_class.loaded is not None:
        config = class_config(model_class.loaded, config)
    group = problems.attempt(lambda: weight_group(files, folder))
    pair = problems.attempt(lambda: _pair(material, adapter, raw)) if adapter is not None else None
    tokenizer = problems.attempt(lambda: _tokenizer(material, folder, code))
    processors = problems.attempt(lambda: _processors(material, code))
    if config is None or model_class is None or group is None:
        problems.settle()
        raise AssertionError("a part is missing without a problem")
    dtype = resolved_dtype(spec, raw, group)
    return _Parts(folder, modules, raw, config, code, model_class, group, dtype, pair, tokenizer, processors)


@dataclass(frozen=True, slots=True)
class _ModelClass:
    """The class that runs the model. ``loaded``: the library's own, None for one of reviewed code."""

    name: str
    loaded: type[Any] | None


def _model_class(files: SourceFiles, config: Any, task: Task, code: Code) -> _ModelClass:
    if {CONFIG, MODEL} & set(code.classes):
        return _ModelClass(code.class_name(MODEL), None)
    found = encoder_class(files, config) if task.kind == "dense" else task_class(files, config, task)
    return _ModelClass(found.__name__, found)


def _width(task: Task, files: SourceFiles, modules: tuple[Module, ...], config: Any) -> int | None:
    """How many numbers a row's answer has, where it is an embedding, or scores of more than one label."""
    if task.kind == "cross-encoder":
        return int(config.num_labels) if config.num_labels > 1 else None
    hidden = getattr(config, "hidden_size", None)
    return dimension(files, modules, hidden) if task.kind == "dense" and modules else None


def _settings(spec: Spec) -> dict[str, Any]:
    """The settings of a call without params, as far as the spec sets them."""
    return {**thaw(spec.inference), **{name: param.default for name, param in spec.signature.params.items()}}


def _tokenizer(material: Material, folder: str, code: Code) -> Tokenizer | None:
    tokenizer = material.tokenizer
    if "tokenizer" not in material.task.components:
        return None
    if "tokenizer" in code.classes:
        return unread_tokenizer(tokenizer or material.model, "" if tokenizer else folder, code.class_name("tokenizer"))
    asked = probe(material.task, material.model, folder, tokenizer or material.model, _settings(material.spec))
    if tokenizer is None:
        return read_tokenizer(material.model, folder, FrozenDict(), asked)
    return read_tokenizer(tokenizer, "", material.spec.components.options("tokenizer"), asked)


def _processors(material: Material, code: Code) -> dict[str, str]:
    """Each component but the tokenizer -> its class; a processor only where the spec brings one."""
    needed = [name for name in material.task.components if name != "tokenizer"]
    brought = material.own.get(PROCESSOR)
    sources = {name: material.own.get(name) or brought or material.model for name in needed}
    if brought is not None:
        sources[PROCESSOR] = brought
    options = material.spec.components.options
    return {
        name: code.class_name(name) or processor_class(source, name, options(name)) for name, source in sources.items()
    }


def _other_groups(problems: _Problems, files: SourceFiles, modules: tuple[Module, ...]) -> list[WeightGroup]:
    groups = []
    for module in modules:
        if module.kind not in WEIGHTED:
            continue
        group = problems.attempt(lambda folder=module.folder: weight_group(files, folder))  # type: ignore[misc]
        if group is not None:
            groups.append(group)
            problems.found.extend(weight_problems(files, module, group))
    return groups


def _expanded_bytes(parts: _Parts) -> int | None:
    loaded = parts.model_class.loaded
    if loaded is None or not is_expanded(parts.raw):
        return None
    return expanded_bytes(shapes(loaded, parts.config, (), parts.dtype).model, parts.group.tensors)


def _fitted(problems: _Problems, files: SourceFiles, parts: _Parts) -> Fitted:
    """How the parts fit; raises SpecError with all problems so far when that cannot be seen."""
    loaded = parts.model_class.loaded
    if loaded is None or QUANTISED in parts.raw:
        return Fitted(None)
    found = problems.attempt(lambda: fitted(files, loaded, parts.config, parts.group, parts.dtype, pair=parts.pair))
    if found is None:
        problems.settle()
        raise AssertionError("nothing was fitted without a problem")
    return found


def _check_fit(problems: _Problems, material: Material, parts: _Parts, found: Fit | None) -> tuple[str, ...]:
    name = parts.model_class.name
    told, is_another = _check_head(problems, material, parts, found)
    if found is None:
        return told
    counted, ignored = needed(material.task, found)
    if not is_another:  # what a head of another kind lacks would only hide that it is one
        problems.found.extend(fit_problems(material.model, counted, parts.config, material.task.name, name))
    return (*told, *fit_notes(counted, name, ignored))


def _check_head(
    problems: _Problems, material: Material, parts: _Parts, found: Fit | None
) -> tuple[tuple[str, ...], bool]:
    """What is to be told of the head that config.json names, and whether it is refused. An adapter may bring the head,
    and reviewed code knows its own.
    """
    name, reason = parts.model_class.name, material.spec.allow_architecture_mismatch
    if parts.model_class.loaded is None or (parts.pair and parts.pair.brings_head):
        fault = ("", "")
    else:
        fault = head_fault(
            material.task, name, stated_architectures(parts.raw), found.unexpected if found is not None else ()
        )
    refused = tuple(head_problems(material.model, material.task, name, fault, reason))
    problems.found.extend(refused)
    return tuple(head_notes(name, fault, reason)), bool(refused)


def _check_tokenizer(problems: _Problems, material: Material, parts: _Parts, found: Fit | None) -> None:
    """Whether the tokenizer does what the task needs of it and goes with the model."""
    if parts.tokenizer is None:
        return
    files = material.tokenizer or material.model
    problems.found.extend(chat_problems(files, parts.tokenizer, material.task))
    problems.found.extend(parts.tokenizer.problems)
    problems.found.extend(language_problems(material.spec, material.task, files, parts.tokenizer, parts.raw))
    if found is not None:
        problems.found.extend(vocabulary_problems(files, parts.tokenizer, found.vocabulary))


def _unchecked_adapter(adapter: SourceFiles | None, code: Code) -> Iterator[Problem]:
    if adapter is not None and MODEL in code.classes:
        yield adapter.problem(
            "remote-code",
            "whether an adapter fits a model of reviewed code cannot be seen without running the code",
            remedy="merge the adapter into the checkpoint with peft, and name the merged one as the model",
        )


def _pair(material: Material, adapter: SourceFiles, raw: Mapping[str, Any]) -> Pair:
    key = material.spec.adapter
    assert key is not None, "resolve pins an adapter for a spec with one only"
    pair = Pair(material.model, raw, read_adapter(adapter, material.task), key)
    pair.check()
    return pair
