"""A checkpoint examined for one task: everything the plan decides from, or every problem that keeps it from running."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from hfspec.checkpoint.adapters.adapted import Pair
from hfspec.checkpoint.adapters.adapter import Adapter, read_adapter
from hfspec.checkpoint.architecture import encoder_class, task_class
from hfspec.checkpoint.config import library_config, raw_config
from hfspec.checkpoint.languages import language_problems
from hfspec.checkpoint.processors import processor_class
from hfspec.checkpoint.remote_code.class_references import CONFIG, MODEL
from hfspec.checkpoint.remote_code.reviewed import Code, remote_code
from hfspec.checkpoint.sentences.modules import (
    WEIGHTED,
    Module,
    dimension,
    modules_of,
    needs_the_library,
    weight_problems,
)
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.vocabulary import Tokenizer, chat_problems, tokenizer, unread_tokenizer, vocabulary_problems
from hfspec.checkpoint.weights.fit import Fit, Shapes, fit, shapes
from hfspec.checkpoint.weights.saving import UNCHANGED
from hfspec.checkpoint.weights.tensor_problems import fit_notes, fit_problems
from hfspec.checkpoint.weights.weight_files import WeightGroup, listed, weight_group
from hfspec.errors import SpecError
from hfspec.ir.dtypes import dominant
from hfspec.ir.frozen import FrozenDict
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
    reviewed code need beside the library. ``code``: the reviewed code. ``labels``: how many labels the adapter's head
    tells apart, where config.json says another number. ``adapter``: the one that is put beside the model; ``changes``
    and ``merging``: where it is merged instead, the tensors that differ from the checkpoint's, by their names, and the
    model that it is merged into.
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


@dataclass(frozen=True, slots=True)
class _Fitted:
    fit: Fit | None
    labels: int | None = None
    notes: tuple[str, ...] = ()
    changes: Mapping[str, TensorMove] = UNCHANGED


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


def examine(
    spec: Spec, task: Task, files: SourceFiles, own: Mapping[str, SourceFiles], adapter: SourceFiles | None = None
) -> Examined:
    """Examine the model in ``files`` with the components in ``own``, by name, and its own of the others, and with the
    adapter that the spec puts on it.

    Raises SpecError with every problem found.
    """
    words = own.get("tokenizer", own.get(PROCESSOR))
    modules = modules_of(files, task)
    folder = modules[0].folder if modules else ""
    raw = raw_config(files, folder)
    problems = _Problems()
    code = remote_code(spec, task, files, own, folder=folder, raw=raw)
    problems.found.extend((*code.problems, *_unchecked_adapter(adapter, code)))
    config = problems.attempt(lambda: library_config(files, folder, is_code=CONFIG in code.classes))
    model_class = problems.attempt(lambda: _model_class(files, config, task, code)) if config is not None else None
    group = problems.attempt(lambda: weight_group(files, folder))
    pair = problems.attempt(lambda: _pair(spec, task, files, raw, adapter)) if adapter is not None else None
    found_words = problems.attempt(lambda: _tokenizer(spec, task, files, words, folder=folder, code=code))
    processors = problems.attempt(lambda: _processors(spec, task, files, own, code))
    problems.found.extend(_quantised_cast(spec, files, raw))
    if config is None or model_class is None or group is None:
        problems.settle()
        raise AssertionError("a part is missing without a problem")
    dtype = _dtype(spec, raw, group)
    fitted: _Fitted | None = _Fitted(None)
    loaded = model_class.loaded
    if loaded is not None and "quantization_config" not in raw:
        fitted = problems.attempt(
            lambda: _fitted(partial(_shapes, files, loaded, config, group, dtype), config, group, dtype, pair)
        )
        if fitted is None:
            problems.settle()
    assert fitted is not None
    found = fitted.fit
    notes = _check_fit(problems, files, task=task, config=config, class_name=model_class.name, found=found)
    if found_words is not None:
        problems.found.extend(chat_problems(words or files, found_words, task))
        problems.found.extend(language_problems(spec, task, words or files, found_words, raw))
    if found is not None and found_words is not None:
        problems.found.extend(vocabulary_problems(words or files, found_words, found.vocabulary))
    others = _other_groups(problems, files, modules)
    width = problems.attempt(lambda: _width(task, files, modules, config))
    problems.settle()
    assert processors is not None
    return Examined(
        folder=folder,
        class_name=model_class.name,
        config=raw,
        groups=(group, *others),
        fit=found,
        components=FrozenDict({**processors, **({"tokenizer": found_words.class_name} if found_words else {})}),
        dtype=dtype,
        dimension=width,
        needs_library=task.kind == "dense" and needs_the_library(files),
        packages=(*(found_words.packages if found_words else ()), *code.packages),
        code=code,
        adapter=pair.beside if pair else None,
        merging=pair.merging(model_class.name, fitted.labels) if pair else None,
        changes=fitted.changes,
        labels=fitted.labels,
        notes=(
            *notes,
            *fitted.notes,
            *_notes(spec, raw, group, dtype),
            *_pooling_notes(task, modules, raw),
            *_code_notes(spec, code),
        ),
    )


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


def _unchecked_adapter(adapter: SourceFiles | None, code: Code) -> Iterator[Problem]:
    if adapter is not None and MODEL in code.classes:
        yield adapter.problem(
            "remote-code",
            "whether an adapter fits a model of reviewed code cannot be seen without running the code",
            remedy="merge the adapter into the checkpoint with peft, and name the merged one as the model",
        )


def _pair(spec: Spec, task: Task, files: SourceFiles, raw: Mapping[str, Any], adapter: SourceFiles) -> Pair:
    assert spec.adapter is not None, "resolve pins an adapter for a spec with one only"
    pair = Pair(files, raw, read_adapter(adapter, task), spec.adapter)
    pair.check()
    return pair


def _fitted(load: Callable[[], Shapes], config: Any, group: WeightGroup, dtype: str, pair: Pair | None) -> _Fitted:
    """How the weights fit the class that ``load`` makes under ``config``, which gets the labels of an adapter's head,
    and how the adapter fits.
    """
    loaded = load()
    if pair is None:
        return _Fitted(fit(loaded))
    labels = pair.labels(loaded, config)
    if labels is not None:
        config.num_labels = labels
        loaded = load()
    found = fit(loaded)
    fitted = pair.fitted(loaded, found.vocabulary, group, dtype)
    return _Fitted(pair.without_brought(found), labels, fitted.notes, fitted.changes)


def _shapes(files: SourceFiles, model_class: type[Any], config: Any, group: WeightGroup, dtype: str) -> Shapes:
    try:
        return shapes(model_class, config, group.tensors, dtype)
    except Exception as error:  # an architecture may raise anything over a config that makes no sense
        reason = " ".join(str(error).split())
        raise files.refusal(
            "broken-checkpoint", f"the library cannot make a {model_class.__name__} of the checkpoint: {reason}"
        ) from error


def _tokenizer(
    spec: Spec, task: Task, files: SourceFiles, words: SourceFiles | None, *, folder: str, code: Code
) -> Tokenizer | None:
    if "tokenizer" not in task.components:
        return None
    if "tokenizer" in code.classes:
        return unread_tokenizer(words or files, "" if words else folder, code.class_name("tokenizer"))
    if words is None:
        return tokenizer(files, folder, FrozenDict())
    return tokenizer(words, "", spec.components.options("tokenizer"))


def _processors(
    spec: Spec, task: Task, files: SourceFiles, own: Mapping[str, SourceFiles], code: Code
) -> dict[str, str]:
    """Each component but the tokenizer -> its class; a processor only where the spec brings one."""
    needed = [name for name in task.components if name != "tokenizer"]
    brought = own.get(PROCESSOR)
    sources = {name: own.get(name) or brought or files for name in needed}
    if brought is not None:
        sources[PROCESSOR] = brought
    return {
        name: code.class_name(name) or processor_class(source, name, spec.components.options(name))
        for name, source in sources.items()
    }


def _dtype(spec: Spec, raw: Mapping[str, Any], group: WeightGroup) -> str:
    if spec.dtype != "auto":
        return spec.dtype
    if "quantization_config" in raw:
        return _declared_dtype(raw) or "float32"
    return dominant(group.tensors) or "float32"


def _declared_dtype(raw: Mapping[str, Any]) -> str | None:
    value = raw.get("dtype", raw.get("torch_dtype"))
    return value.removeprefix("torch.") if isinstance(value, str) else None


def _quantised_cast(spec: Spec, files: SourceFiles, raw: Mapping[str, Any]) -> tuple[Problem, ...]:
    if spec.dtype == "auto" or "quantization_config" not in raw:
        return ()
    return (
        files.problem(
            "cast-of-quantised",
            "the checkpoint is quantised, and its weights cannot be cast",
            at=("dtype",),
            expected="auto",
            found=spec.dtype,
        ),
    )


def _check_fit(
    problems: _Problems, files: SourceFiles, *, task: Task, config: Any, class_name: str, found: Fit | None
) -> tuple[str, ...]:
    if found is None:
        return ()
    encodes = task.kind == "dense" or task.auto_class == "AutoModel"
    ignored = _pooler(found) if encodes else ()
    needed = _without_missing(found, ignored)
    problems.found.extend(fit_problems(files, needed, config, task.name, class_name))
    return fit_notes(needed, class_name, ignored)


def _pooler(found: Fit) -> tuple[str, ...]:
    """The encoder's own pooler is no part of what is read off it, the hidden states of the tokens."""
    return tuple(name for name in found.missing if name.startswith("pooler."))


def _without_missing(found: Fit, names: tuple[str, ...]) -> Fit:
    from dataclasses import replace

    return replace(found, missing=tuple(name for name in found.missing if name not in names))


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


def _pooling_notes(task: Task, modules: tuple[Module, ...], raw: Mapping[str, Any]) -> tuple[str, ...]:
    if task.kind != "dense" or modules:
        return ()
    last = any(str(name).endswith("ForCausalLM") for name in raw.get("architectures") or ())
    what = "the hidden state of its last token" if last else "the mean of the hidden states of its tokens"
    return (f"The checkpoint says nothing of pooling: the embedding of a text is {what}, not scaled to length 1.",)


def _code_notes(spec: Spec, code: Code) -> Iterator[str]:
    if code.classes:
        files = listed([file.path for file in code.files])
        yield f"Reviewed code goes along and runs with the consent of whoever loads the artifact: {files}."
    if MODEL in code.classes:
        yield "The model's class is reviewed code, which is not run here: names and shapes of tensors are not checked."
        if spec.dtype != "auto":
            yield f"Every tensor is cast to {spec.dtype}: what the model's own code keeps in float32 is not known here."


def _notes(spec: Spec, raw: Mapping[str, Any], group: WeightGroup, dtype: str) -> tuple[str, ...]:
    notes = []
    if "quantization_config" in raw:
        notes.append(
            "The checkpoint is quantised: its tensors are carried along unchanged and their shapes not checked."
        )
    declared = _declared_dtype(raw)
    if spec.dtype == "auto" and declared not in (None, dtype) and "quantization_config" not in raw:
        notes.append(f"config.json says {declared}, the weights are stored as {dtype}; they stay as stored.")
    if group.pickled:
        notes.append("The weights are pickled (.bin) at the source and are written as safetensors.")
    return tuple(notes)
