"""The tokenizer: whether there is one, which class it is, and whether the embedding has a row for each of its ids."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hfspec.checkpoint.config import refuse_extents
from hfspec.checkpoint.probe import OWN_TOKENIZER, Probe
from hfspec.checkpoint.source_files import SourceFiles, unreadable_vocabularies
from hfspec.errors import SpecError
from hfspec.formats.languages import Tongues, tongues
from hfspec.formats.vocabulary_files import AROUND, VOCABULARIES
from hfspec.ir.frozen import FrozenDict, thaw
from hfspec.ir.problem import Problem
from hfspec.library_calls.quiet import is_tokenizer, quiet
from hfspec.tasks.task import Task

# Files that a tokenizer without a tokenizer.json reads by the sentencepiece package.
SENTENCEPIECES = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "source.spm", "spm.model")
# Classes of tokenizers -> what they import of others when they are made.
PACKAGES = {
    "BioGptTokenizer": ("sacremoses",),
    "CpmAntTokenizer": ("rjieba",),
    "CpmTokenizer": ("rjieba", "sentencepiece"),
    "FSMTTokenizer": ("sacremoses",),
    "FlaubertTokenizer": ("sacremoses",),
    "XLMTokenizer": ("sacremoses",),
}


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """The tokenizer of a deployment. ``size``: one more than the greatest id it can give, 0 where that is not known.
    ``packages``: what it needs beside the library. ``chats``: whether it has a chat template. ``tongues``: what it says
    of languages. ``problems``: what it fails at, asked to do what the task does. ``is_fast``: whether the package
    tokenizers alone can do its work.
    """

    class_name: str
    size: int
    packages: tuple[str, ...] = ()
    chats: bool = False
    tongues: Tongues = field(default_factory=Tongues)
    problems: tuple[Problem, ...] = ()
    is_fast: bool = False


def read_tokenizer(files: SourceFiles, folder: str, options: FrozenDict, probe: Probe) -> Tokenizer:
    """The tokenizer in ``folder`` of a source, with these options, and what ``probe`` finds.

    Raises SpecError when there is none or when the library cannot load it without running code of the checkpoint.
    """
    if not any(files.has(f"{folder}{name}") for name in VOCABULARIES) and not _reads_no_file(files, folder):
        raise files.refusal(
            "no-tokenizer",
            "the source has no tokenizer",
            expected="tokenizer.json, or a vocabulary such as vocab.txt or tokenizer.model",
            remedy="name one under components.tokenizer",
        )
    refuse_extents(files, f"{folder}config.json")
    with tempfile.TemporaryDirectory() as place:
        for name in (*VOCABULARIES, *AROUND):
            if files.has(f"{folder}{name}"):
                (Path(place) / name).symlink_to(files.reader.small(f"{folder}{name}").absolute())
        tokenizer = _load(files, folder, place, options)
        if not is_tokenizer(tokenizer):
            message = "the tokenizer's files name a class that is not a tokenizer"
            raise files.refusal("broken-tokenizer", message, found=type(tokenizer).__name__)
        limit = tokenizer.model_max_length
        if not isinstance(limit, int | float) or limit <= 0:
            message = "the tokenizer's model_max_length is not a number of tokens"
            raise files.refusal("broken-tokenizer", message, found=repr(limit))
        vocabulary: dict[str, int] = tokenizer.get_vocab()
    pieces = not tokenizer.is_fast and any(files.has(f"{folder}{name}") for name in SENTENCEPIECES)
    packages = (*(("sentencepiece",) if pieces else ()), *PACKAGES.get(type(tokenizer).__name__, ()))
    size = max(vocabulary.values(), default=-1) + 1
    return Tokenizer(
        type(tokenizer).__name__,
        size,
        packages,
        bool(tokenizer.chat_template),
        tongues(tokenizer),
        tuple(probe(tokenizer)),
        is_fast=bool(tokenizer.is_fast),
    )


def _reads_no_file(files: SourceFiles, folder: str) -> bool:
    """Whether the tokenizer is of a class without a vocabulary, such as one of bytes."""
    import transformers
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    own = files.json(f"{folder}tokenizer_config.json").get("tokenizer_class")
    name = own or TOKENIZER_MAPPING_NAMES.get(str(files.json(f"{folder}config.json").get("model_type")))
    kind = getattr(transformers, name, None) if isinstance(name, str) else None
    return getattr(kind, "vocab_files_names", None) == {}


def unread_tokenizer(files: SourceFiles, folder: str, class_name: str) -> Tokenizer:
    """The tokenizer in ``folder`` whose class is reviewed code: what its files say without it."""
    chats = any(files.has(f"{folder}chat_template.{kind}") for kind in ("jinja", "json"))
    chats = chats or bool(files.json(f"{folder}tokenizer_config.json").get("chat_template"))
    return Tokenizer(class_name, 0, chats=chats)


def no_template(task: Task) -> str:
    """The sentence about a tokenizer that has no chat template where the task needs one."""
    return f"the tokenizer has no chat template, and {task.name} puts conversations to the model by one"


def chat_problems(files: SourceFiles, tokenizer: Tokenizer, task: Task) -> Iterator[Problem]:
    """A conversation can be put to a model only by the template that it was trained with."""
    if task.chat and not tokenizer.chats:
        yield files.problem(
            "no-chat-template",
            no_template(task),
            at=("task",),
            found=task.name,
            expected="a tokenizer with a chat_template, in tokenizer_config.json or chat_template.jinja",
            remedy="use a model that was trained to chat, or name a tokenizer with its template under"
            " components.tokenizer, or use text-generation or llm/v1/completions",
        )


def vocabulary_problems(files: SourceFiles, tokenizer: Tokenizer, rows: int | None) -> Iterator[Problem]:
    """A tokenizer with ids that the model has no embedding for would fail, or answer nonsense, on some texts only."""
    if rows is not None and tokenizer.size > rows:
        yield files.problem(
            "vocabulary-too-large",
            f"the tokenizer gives ids up to {tokenizer.size - 1}, so {tokenizer.size} of them,"
            f" and the model's embedding has {rows} rows",
            expected=f"at most {rows} ids",
            found=str(tokenizer.size),
            remedy=OWN_TOKENIZER,
        )


def _load(files: SourceFiles, folder: str, place: str, options: FrozenDict) -> Any:
    from transformers import AutoTokenizer

    try:
        with quiet():
            return AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True, **thaw(options))
    except Exception as error:
        if problems := tuple(unreadable_vocabularies(files, folder)):
            raise SpecError(problems) from error
        raise files.refusal(
            "broken-tokenizer", f"the library cannot load the tokenizer: {_without(place, str(error))}"
        ) from error


def _without(place: str, message: str) -> str:
    return message.replace(place, "the source").strip().replace("\n", " ")
