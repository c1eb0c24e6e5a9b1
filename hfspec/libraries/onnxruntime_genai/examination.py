"""The examination of a model of ONNX Runtime's generate(): whether config, graph, data and tokenizer fit together."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hfspec.checkpoint.graphs.header import Graph, read_graph
from hfspec.checkpoint.graphs.opsets import check_opsets
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.checkpoint.vocabulary import no_template
from hfspec.errors import SpecError, StorageError
from hfspec.ir.problem import Problem
from hfspec.libraries.onnxruntime_genai.config import CONFIG, GenaiConfig, faults, setting_faults
from hfspec.libraries.onnxruntime_genai.tokenizer import TOKENIZER, Tokenizer
from hfspec.sources.selection import TOKENIZER as TOKENIZER_FILES
from hfspec.tasks.task import Task

BROKEN = "broken-checkpoint"
AGAIN = "fetch the file again, or make the model again"
CONVERSATION = ({"role": "user", "content": "One short text."},)


@dataclass(frozen=True, slots=True)
class Model:
    """A model whose files fit together."""

    folder: str
    """The folder of its files in the source; empty or ending with a slash."""
    config: GenaiConfig
    graph: Graph
    dtype: str
    """The dtype that the graph computes in."""
    weights: tuple[str, ...]
    """The graph and its data, as paths in the source."""
    weight_bytes: int
    unused: tuple[str, ...]
    """Graphs and data that nothing names."""

    def notes(self) -> Iterator[str]:
        """The facts of the header, in sentences."""
        config, graph = self.config, self.graph
        opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in sorted(graph.opsets.items()))
        bits = ", ".join(f"{count} products of {size}-bit weights" for size, count in sorted(graph.bits.items()))
        yield (
            f"The graph is of the architecture {config.architecture}, {config.layers} layers, with a context of"
            f" {config.context_length} tokens and {config.vocab_size} tokens to choose from; it computes in"
            f" {self.dtype}, {bits or 'with no quantised weights'}, by the operators of {opsets}."
        )
        if "max_length" in config.search and config.search["max_length"] == config.context_length:
            yield (
                f"{CONFIG} says max_length: {config.context_length}, which is the whole context: an answer has"
                " max_new_tokens, as far as the spec says nothing else."
            )


def examine(files: SourceFiles, task: Task) -> Model:
    """The model in a source's files.

    Args:
        files: The source.
        task: The task of the model.

    Returns:
        The model.

    Raises:
        SpecError: With everything that does not fit, as far as the files can be read.
        SourceError: When a file cannot be read.
    """
    folder = next(path for path in files.paths if PurePosixPath(path).name == CONFIG).removesuffix(CONFIG)
    config = _config(files, folder, task)
    graph = _graph(files, folder, config)
    problems = [
        *_value_problems(files, config, graph),
        *_data_problems(files, folder, config, graph),
        *_opset_problems(files, config, graph),
        *_tokenizer_problems(files, folder, task, config),
    ]
    if problems:
        raise SpecError(tuple(problems))
    beside = {_beside(folder, config, one.location) for one in graph.external}
    weights = tuple(sorted({f"{folder}{config.filename}", *beside}))
    others = [path for path in files.paths if PurePosixPath(path).suffix in (".onnx", ".data") and path not in weights]
    return Model(
        folder=folder,
        config=config,
        graph=graph,
        dtype=_logits_dtype(config, graph),
        weights=weights,
        weight_bytes=sum(files.file(path).size for path in weights),
        unused=tuple(others),
    )


def _config(files: SourceFiles, folder: str, task: Task) -> GenaiConfig:
    document = files.json(f"{folder}{CONFIG}")
    problems = list(faults(document))
    problems = problems or list(setting_faults(document.get("search", {}), task))
    if problems:
        raise SpecError(
            tuple(
                files.problem(
                    BROKEN,
                    f"{folder}{CONFIG}: {one.key} cannot be used",
                    expected=one.expected,
                    found=one.found,
                    remedy="mend the file, or make the model again",
                )
                for one in problems
            )
        )
    return GenaiConfig.of(document)


def _graph(files: SourceFiles, folder: str, config: GenaiConfig) -> Graph:
    path = f"{folder}{config.filename}"
    if not files.has(path):
        there = sorted(name.removeprefix(folder) for name in files.paths if name.endswith(".onnx"))
        raise files.refusal(
            BROKEN,
            f"{CONFIG} names the graph {config.filename}, which is not there",
            expected=config.filename,
            found=", ".join(there) or "no graphs",
            remedy="add the file, or correct model.decoder.filename",
        )
    try:
        return read_graph(files.reader.fetch(path))
    except ValueError as error:
        raise files.refusal(BROKEN, f"{path} {error}", remedy=AGAIN) from error


def _value_problems(files: SourceFiles, config: GenaiConfig, graph: Graph) -> Iterator[Problem]:
    """The problems of names in the config that the graph does not have, and of a vocabulary of another size."""
    for part, names, values in (("inputs", config.inputs, graph.inputs), ("outputs", config.outputs, graph.outputs)):
        there = {value.name for value in values}
        for key, pattern in sorted(names.items()):
            expected = [pattern.replace("%d", str(layer)) for layer in range(config.layers if "%d" in pattern else 1)]
            missing = [name for name in expected if name not in there]
            if missing and key != "position_ids":
                yield files.problem(
                    BROKEN,
                    f"{CONFIG}: model.decoder.{part}.{key} names {missing[0]}, which {config.filename} has none of",
                    expected=f"one of {', '.join(sorted(there)[:8])}",
                    found=missing[0],
                    remedy="correct the name, or make the model again",
                )
    width = next((value.shape[-1] for value in graph.outputs if value.name == _logits(config) and value.shape), None)
    if width is not None and width != config.vocab_size:
        yield files.problem(
            BROKEN,
            f"{CONFIG} says vocab_size {config.vocab_size}, and {config.filename} chooses among {width} tokens",
            expected=str(width),
            found=str(config.vocab_size),
            remedy="correct model.vocab_size",
        )


def _data_problems(files: SourceFiles, folder: str, config: GenaiConfig, graph: Graph) -> Iterator[Problem]:
    """The problems of files of weights beside the graph that are missing or too short."""
    ends: dict[str, int] = {}
    for one in graph.external:
        ends[one.location] = max(ends.get(one.location, 0), one.end)
    for location, end in sorted(ends.items()):
        path = _beside(folder, config, location)
        if not files.has(path):
            yield files.problem(
                BROKEN,
                f"{config.filename} keeps weights in {location}, which is not beside it",
                expected=f"{location}, of {end} bytes",
                found="no such file",
                remedy="add the file: a graph and its data belong together",
            )
        elif files.file(path).size < end:
            yield files.problem(
                BROKEN,
                f"{path} is too short for the weights that {config.filename} has in it",
                expected=f"{end} bytes",
                found=f"{files.file(path).size} bytes",
                remedy=AGAIN,
            )


def _beside(folder: str, config: GenaiConfig, location: str) -> str:
    """The path of a file of weights, which lies by its location from the graph."""
    return (PurePosixPath(f"{folder}{config.filename}").parent / location).as_posix()


def _opset_problems(files: SourceFiles, config: GenaiConfig, graph: Graph) -> Iterator[Problem]:
    try:
        check_opsets(graph)
    except ValueError as error:
        yield files.problem(BROKEN, f"{config.filename}: {error}", remedy="install a newer onnxruntime")


def _tokenizer_problems(files: SourceFiles, folder: str, task: Task, config: GenaiConfig) -> Iterator[Problem]:
    """The problems of a tokenizer that is missing, damaged, too large for the model, or cannot write a conversation."""
    if not files.has(f"{folder}{TOKENIZER}"):
        yield files.problem(
            "no-tokenizer",
            "the model has no tokenizer",
            expected=TOKENIZER,
            found="no such file",
            remedy="add the tokenizer.json that the model was made with",
        )
        return
    with tempfile.TemporaryDirectory() as place:
        for path in files.paths:
            own = path.removeprefix(folder)
            if path.startswith(folder) and TOKENIZER_FILES.fullmatch(own):
                (Path(place) / own).parent.mkdir(parents=True, exist_ok=True)
                (Path(place) / own).symlink_to(files.reader.small(path).absolute())
        try:
            tokenizer = Tokenizer(Path(place), config.pad)
            size = tokenizer.size
        except StorageError as error:
            yield files.problem("broken-tokenizer", str(error).replace(place, "the source"), remedy=AGAIN)
            return
    if size > config.vocab_size:
        yield files.problem(
            "vocabulary-too-large",
            f"the tokenizer gives ids up to {size - 1}, and the model knows {config.vocab_size} tokens",
            expected=f"at most {config.vocab_size} ids",
            found=str(size),
            remedy="use the tokenizer that the model was made with",
        )
    if task.chat:
        yield from _chat_problems(files, tokenizer, task)


def _chat_problems(files: SourceFiles, tokenizer: Tokenizer, task: Task) -> Iterator[Problem]:
    if tokenizer.chat_template is None:
        yield files.problem(
            "no-chat-template",
            no_template(task),
            at=("task",),
            found=task.name,
            expected="a chat_template, in tokenizer_config.json or chat_template.jinja",
            remedy="use a model that was trained to chat, or use text-generation or llm/v1/completions",
        )
        return
    try:
        _rehearse(files, tokenizer)
    except SpecError as error:
        yield from error.problems


def _rehearse(files: SourceFiles, tokenizer: Tokenizer) -> None:
    """Raises SpecError where the template refuses one short message."""
    try:
        tokenizer.apply_chat_template(CONVERSATION)
    except Exception as error:  # a template is a program of the checkpoint's own, and may fail in any way
        message = f"the chat template refuses one short message: {error}"
        raise files.refusal("broken-chat-template", message, remedy="mend the template") from error


def _logits(config: GenaiConfig) -> str:
    return str(config.outputs.get("logits", "logits"))


def _logits_dtype(config: GenaiConfig, graph: Graph) -> str:
    return next((value.dtype for value in graph.outputs if value.name == _logits(config)), "float32")
