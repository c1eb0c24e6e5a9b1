"""Whether the head that ``architectures`` of config.json names is the one that the task runs.

Heads of several kinds have tensors of the same names and shapes, so that the fit alone cannot tell them apart: the
classes of a sentence would label tokens, and a tied language model's head would be made of any other model's embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from hfspec.checkpoint.architecture import possible_tasks
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.weights.weight_files import listed
from hfspec.ir.problem import Problem
from hfspec.tasks.task import Task

KEY = "allow_architecture_mismatch"
CAUSAL, MASKED = "AutoModelForCausalLM", "AutoModelForMaskedLM"
# The library's text model of a composite model is run from the composite's checkpoint.
COMPOSITE = ("AutoModelForImageTextToText", "AutoModelForMultimodalLM")
# Classes whose other heads are dropped: what is left is checked tensor by tensor.
SEVERAL_HEADS = "ForPreTraining"
PROJECTED = ("ForRetrieval", "WithProjection")  # embeddings are what the head makes, of tokens or of a text
DOUBLE_HEADS, LANGUAGE_HEAD = "DoubleHeadsModel", "LMHeadModel"
OTHER_FRAMEWORKS = ("Flax", "TF")
ENDS = {  # an auto class -> how the class of such a head ends, where the library does not know the class itself
    "AutoModelForAudioClassification": ("ForSequenceClassification", "ForAudioClassification"),
    CAUSAL: ("ForCausalLM", LANGUAGE_HEAD),
    MASKED: ("ForMaskedLM", LANGUAGE_HEAD),
    "AutoModelForSeq2SeqLM": ("ForConditionalGeneration", LANGUAGE_HEAD),
    "AutoModelForTableQuestionAnswering": ("ForQuestionAnswering",),
    "AutoModelForSpeechSeq2Seq": ("ForConditionalGeneration",),
}


def head_fault(
    task: Task, class_name: str, architectures: tuple[str, ...], unexpected: tuple[str, ...]
) -> tuple[str, str]:
    """Why the checkpoint, which says it is one of ``architectures``, was not trained for the task that ``class_name``
    does, and what it can do; both empty where nothing is wrong. ``unexpected``: its tensors that the class has no use
    for.
    """
    names = tuple(_plain(name) for name in architectures)
    if not names or class_name.lower() in {name.lower() for name in names}:
        return "", ""
    if any(_fits(task, name, unexpected) for name in names):
        return "", ""
    able = possible_tasks(lambda auto_class: any(auto_class in _kinds(name) for name in names))
    if able or any(_kinds(name) for name in names):
        return f"{' or '.join(names)}{_trained(task, names)}", ", ".join(able)
    unexpected_note = f", and tensors that a {class_name} has no use for ({listed(unexpected)})" if unexpected else ""
    return f"{' or '.join(names)}, which the library does not have{unexpected_note}", ""


def stated_architectures(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The names under ``architectures`` of config.json."""
    architectures = config.get("architectures") or ()
    listed_names = (architectures,) if isinstance(architectures, str) else architectures
    return tuple(str(name) for name in listed_names) if isinstance(listed_names, list | tuple) else ()


def head_problems(
    files: SourceFiles, task: Task, class_name: str, fault: tuple[str, str], reason: str | None
) -> Iterator[Problem]:
    """A head that was trained for something else, unless the spec gives a ``reason`` for using it."""
    what, able = fault
    if what and reason is None:
        yield files.problem(
            "task-not-possible",
            f"config.json says that the checkpoint is a {what}; {task.name} runs it as a {class_name}",
            at=("task",),
            found=task.name,
            expected=able,
            remedy=f"name a checkpoint that was trained for {task.name}, or say under `{KEY}` why this one will do",
        )


def head_notes(class_name: str, fault: tuple[str, str], reason: str | None) -> Iterator[str]:
    """Notes of the plan on a head that the spec allows."""
    if reason is not None and fault[0]:
        yield f"The checkpoint is a {fault[0]}, and is run as a {class_name}; allowed, since: {reason}"
    elif reason is not None:
        yield f"{KEY} is not needed: nothing contradicts what config.json says of the architecture."


def _fits(task: Task, name: str, unexpected: tuple[str, ...]) -> bool:
    """Whether a checkpoint of this class can do the task, as far as the class says."""
    kinds, encodes = _kinds(name), task.kind == "dense" or task.auto_class == "AutoModel"
    if encodes:
        return (bool(kinds) or _is_known(name)) and not name.endswith(PROJECTED)
    if name.endswith(SEVERAL_HEADS) or _is_base(name):
        return True
    auto_classes_of_task = set(task.auto_classes)
    if CAUSAL in auto_classes_of_task:
        auto_classes_of_task.update(COMPOSITE)
        if name.endswith(DOUBLE_HEADS):
            return True
    if kinds or _is_known(name):
        return bool(kinds & auto_classes_of_task)
    ends = tuple(end for auto in task.auto_classes for end in ENDS.get(auto, (auto.removeprefix("AutoModel"),)))
    return not unexpected and name.endswith(tuple(end.removeprefix("For") for end in ends))


def _trained(task: Task, names: tuple[str, ...]) -> str:
    if CAUSAL in task.auto_classes and any(name.endswith("ForMaskedLM") for name in names):
        return ", trained to fill masks, which cannot continue a text"
    return ""


def _is_base(name: str) -> bool:
    """Whether the class has no head, so that a missing one is seen among the tensors."""
    return name.endswith("Model") and not name.endswith(("HeadModel", "HeadsModel"))


def _is_known(name: str) -> bool:
    import transformers

    return hasattr(transformers, name)


def _plain(name: str) -> str:
    """The name of PyTorch's class, in the library's own letters where it has that class."""
    for prefix in OTHER_FRAMEWORKS:
        if name.startswith(prefix) and name.removeprefix(prefix) in _auto_classes():
            return name.removeprefix(prefix)
    return _spelled().get(name.lower(), name)


def _kinds(name: str) -> frozenset[str]:
    """The auto classes that have this class, or are it, of any model type."""
    return _auto_classes().get(name, frozenset())


@cache
def _spelled() -> dict[str, str]:
    return {name.lower(): name for name in _auto_classes()}


@cache
def _auto_classes() -> dict[str, frozenset[str]]:
    """Each of the library's model classes -> the auto classes that have it."""
    from transformers.models.auto import modeling_auto

    by_class_name: dict[str, set[str]] = {}
    for auto_class in (name for name in dir(modeling_auto) if name.startswith("AutoModel")):
        mapping = getattr(getattr(modeling_auto, auto_class), "_model_mapping", None)
        by_class_name.setdefault(auto_class, set()).add(auto_class)
        for names in getattr(mapping, "_model_mapping", {}).values():
            for name in (names,) if isinstance(names, str) else names:
                by_class_name.setdefault(name, set()).add(auto_class)
    return {name: frozenset(autos) for name, autos in by_class_name.items()}
