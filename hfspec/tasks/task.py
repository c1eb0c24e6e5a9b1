"""A task as a value."""

from __future__ import annotations

from dataclasses import dataclass, field

from hfspec.ir.frozen import FrozenDict, Json
from hfspec.ir.signature import Column, Tensor
from hfspec.tasks.setting import Setting

CLASSIFICATION_HEAD, LANGUAGE_HEAD = "classification head", "language-model head"
PROCESSOR = "processor"
PROCESSED = ("feature_extractor", "tokenizer")  # what the library puts together as a processor


@dataclass(frozen=True, slots=True)
class FastTokenizerNeed:
    """A task's need to know something of tokens that a tokenizer written in Python only does not tell."""

    reason: str
    """The facts that such a tokenizer does not tell, and why the task needs it; follows "does not tell"."""
    setting: str = ""
    """The setting that needs it; empty where the task itself does."""
    values: tuple[Json, ...] = ()
    """The values of the setting that need it; empty where every value does."""
    expected: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A row of the table of tasks.

    ``auto_class`` names the transformers auto class whose mapping says which architectures can do the task, empty where
    the library is not transformers; ``other_auto_classes`` those of a task that has more than one kind of model.
    ``components`` are those the task cannot run without, ``requirements`` the packages that only such tasks need.
    ``models``: patterns of the model classes that the runtime runs, where it does not run all of the auto classes'.
    ``inputs`` are the columns of a row, the first of them the one that a bare value fills. ``outputs`` is the standard
    form. ``prompt``: whether the input is a prompt, so that a prompt template applies. ``needed_label``: how the name
    of a label begins, in lower case, that the checkpoint must have. ``kind``: which kind of sentence-transformers model
    the task needs: dense, sparse, cross-encoder; empty for a model of transformers. ``chat``: whether the
    checkpoint must have a chat template. ``anew``: keys that each answer has values of its own for, such as a time.
    ``head`` is what a checkpoint of the task has and a bare encoder lacks, in words. ``fast_tokenizer``: what of the
    task needs a tokenizer.json. ``trial_row``: values for columns of an input that a compile tries, where a plain text
    would not do; of the optional columns among them the first is given. ``runner`` is the runtime's class,
    ``module:NAME``. ``answers_as``: the tasks of the same library whose requests its models answer as well.
    ``protocols``: the protocols of a server that can ask it, beside those that can ask every task.

    Files of many rows have a typed column for each answer. ``row``: the fields of one row's standard output, where they
    are not those of ``outputs``. ``full``: the fields of one row's full output; empty where it may hold anything. In
    both an array without fields is one row of the array that the signature declares.
    """

    name: str
    library: str
    summary: str
    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...] | Tensor
    output_words: str
    full_words: str
    settings: tuple[Setting, ...]
    runner: str
    aliases: tuple[str, ...] = ()
    auto_class: str = ""
    components: tuple[str, ...] = ("tokenizer",)
    prompt: bool = False
    other_auto_classes: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    models: tuple[str, ...] = ("*",)
    needed_label: str = ""
    kind: str = ""
    embeds: bool = False
    chat: bool = False
    anew: tuple[str, ...] = ()
    head: str = ""
    fast_tokenizer: tuple[FastTokenizerNeed, ...] = ()
    trial_row: FrozenDict = field(default_factory=FrozenDict)
    answers_as: tuple[str, ...] = ()
    protocols: frozenset[str] = frozenset()
    row: tuple[Column, ...] = ()
    full: tuple[Column, ...] = ()

    @property
    def auto_classes(self) -> tuple[str, ...]:
        """Every auto class of the task."""
        return tuple(filter(None, (self.auto_class, *self.other_auto_classes)))

    @property
    def replaceable(self) -> tuple[str, ...]:
        """The components that a spec may bring from elsewhere; a processor stands for several at once."""
        return (*self.components, PROCESSOR) if set(PROCESSED) <= set(self.components) else self.components

    def setting(self, name: str) -> Setting | None:
        """The setting of this name, None when the task has none."""
        return next((setting for setting in self.settings if setting.name == name), None)
