"""The parts of a checkpoint held against each other, for one task: everything the plan decides from, or every problem
that keeps it from running.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hfspec.checkpoint.checkpoint import Checkpoint, ProblemList, read_checkpoint
from hfspec.checkpoint.fitting import fit_weights, needed
from hfspec.checkpoint.heads import head_fault, head_notes, head_problems, stated_architectures
from hfspec.checkpoint.languages import language_problems
from hfspec.checkpoint.notes import code_notes, pooling_notes, weight_notes
from hfspec.checkpoint.sentences.modules import dimension, needs_the_library, weight_problems
from hfspec.checkpoint.spec_sources import Sources
from hfspec.checkpoint.vocabulary import chat_problems, vocabulary_problems
from hfspec.checkpoint.weights.fit import Fit, meta_model
from hfspec.checkpoint.weights.quantised import expanded_bytes, is_expanded
from hfspec.checkpoint.weights.tensor_problems import fit_notes, fit_problems
from hfspec.checkpoint.weights.weight_files import WeightGroup, weight_group
from hfspec.formats.module_kinds import WEIGHTED
from hfspec.formats.quantisation import quantisation
from hfspec.ir.problem import Problem
from hfspec.tasks.task import Task


def examine(sources: Sources) -> Checkpoint:
    """Examine the model with the components that the spec brings, and its own of the others, and with the adapter that
    the spec puts on it.

    Args:
        sources: The spec and the files of its sources.

    Returns:
        The checkpoint, every part of which goes with the others.

    Raises:
        SpecError: With every problem of the checkpoint.
    """
    spec, task, files = sources.spec, sources.task, sources.model
    problems = ProblemList()
    checkpoint = read_checkpoint(sources, problems)
    fit = _fit(problems, sources, checkpoint)
    check_notes = _check_fit(problems, sources, checkpoint, fit)
    problems.add(*_tokenizer_problems(sources, checkpoint, fit))
    module_weights = _module_weights(problems, sources, checkpoint)
    width = problems.attempt(lambda: _width(sources, checkpoint))
    problems.raise_if_any()
    return replace(
        checkpoint,
        fit=fit,
        module_weights=module_weights,
        dimension=width,
        needs_sentence_transformers=task.kind == "dense" and needs_the_library(files),
        expanded_bytes=_expanded_bytes(checkpoint),
        notes=(
            *check_notes,
            *(fit.notes if fit else ()),
            *weight_notes(spec, checkpoint.config, checkpoint.weights, checkpoint.dtype),
            *pooling_notes(spec, task, checkpoint),
            *code_notes(spec, checkpoint.code),
        ),
    )


def _fit(problems: ProblemList, sources: Sources, checkpoint: Checkpoint) -> Fit | None:
    """How the tensors fit, None where that is not looked into; raises SpecError with all problems so far when it cannot
    be seen.
    """
    model_class = checkpoint.model_class.of_library
    if model_class is None or quantisation(checkpoint.config) is not None:
        return None
    config, weights = checkpoint.library_config, checkpoint.weights
    fit = problems.attempt(
        lambda: fit_weights(sources.model, model_class, config, weights, checkpoint.dtype, pair=checkpoint.pair)
    )
    if fit is None:
        problems.raise_if_any()
        raise AssertionError("nothing was fitted without a problem")
    return fit


def _check_fit(problems: ProblemList, sources: Sources, checkpoint: Checkpoint, fit: Fit | None) -> tuple[str, ...]:
    name, task = checkpoint.model_class.name, sources.task
    fault = _head_fault(task, checkpoint, fit)
    reason = sources.spec.allow_architecture_mismatch
    refusals = tuple(head_problems(sources.model, task, name, fault, reason))
    problems.add(*refusals)
    notes = tuple(head_notes(name, fault, reason))
    if fit is None or checkpoint.is_graph_alone:
        return notes
    counted, ignored = needed(task, fit)
    if not refusals:  # what a head of another kind lacks would only hide that it is one
        problems.add(*fit_problems(sources.model, counted, checkpoint.library_config, task, name))
    return (*notes, *fit_notes(counted, name, ignored))


def _head_fault(task: Task, checkpoint: Checkpoint, fit: Fit | None) -> tuple[str, str]:
    """The fault of the head that config.json names, both texts empty for none. An adapter may bring the head, and
    reviewed code knows its own.
    """
    if checkpoint.model_class.of_library is None or (checkpoint.pair and checkpoint.pair.brings_head):
        return ("", "")
    unexpected = fit.unexpected if fit is not None else ()
    return head_fault(task, checkpoint.model_class.name, stated_architectures(checkpoint.config), unexpected)


def _tokenizer_problems(sources: Sources, checkpoint: Checkpoint, fit: Fit | None) -> Iterator[Problem]:
    """Whether the tokenizer does what the task needs of it and goes with the model."""
    tokenizer, files = checkpoint.tokenizer, sources.tokenizer or sources.model
    if tokenizer is None:
        return
    yield from chat_problems(files, tokenizer, sources.task)
    yield from tokenizer.problems
    yield from language_problems(sources.spec, sources.task, files, tokenizer, checkpoint.config)
    if fit is not None:
        yield from vocabulary_problems(files, tokenizer, fit.vocabulary)


def _module_weights(problems: ProblemList, sources: Sources, checkpoint: Checkpoint) -> tuple[WeightGroup, ...]:
    groups = []
    for module in checkpoint.modules:
        if module.kind not in WEIGHTED:
            continue
        group = problems.attempt(lambda folder=module.folder: weight_group(sources.model, folder))  # type: ignore[misc]
        if group is not None:
            groups.append(group)
            problems.add(*weight_problems(sources.model, module, group))
    return tuple(groups)


def _width(sources: Sources, checkpoint: Checkpoint) -> int | None:
    """How many numbers a row's answer has, where it is an embedding, or scores of more than one label."""
    kind, config = sources.task.kind, checkpoint.library_config
    if kind == "cross-encoder":
        return int(config.num_labels) if config.num_labels > 1 else None
    hidden = getattr(config, "hidden_size", None)
    return dimension(sources.model, checkpoint.modules, hidden) if kind == "dense" and checkpoint.modules else None


def _expanded_bytes(checkpoint: Checkpoint) -> int | None:
    model_class = checkpoint.model_class.of_library
    if model_class is None or not is_expanded(checkpoint.config):
        return None
    meta = meta_model(model_class, checkpoint.library_config, (), checkpoint.dtype)
    return expanded_bytes(meta.model, checkpoint.weights.tensors)
