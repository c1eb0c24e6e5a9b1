"""Which class of the library runs a checkpoint for a task."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from hfspec.checkpoint import text_readers
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.errors import SpecError
from hfspec.formats.label_names import label_numbers
from hfspec.tasks import table
from hfspec.tasks.task import Task

# Features of these are their encoder's alone; AutoModel would be the whole encoder-decoder.
ENCODERS = {
    "t5": "T5EncoderModel",
    "mt5": "MT5EncoderModel",
    "umt5": "UMT5EncoderModel",
    "longt5": "LongT5EncoderModel",
}


def task_class(files: SourceFiles, config: Any, task: Task) -> type[Any]:
    """The class that does ``task`` for this config; raises SpecError, listing what the architecture can do."""
    if task.auto_class == "AutoModel":
        return encoder_class(files, config)
    model_class = next(filter(None, (_mapped(auto_class, config) for auto_class in task.auto_classes)), None)
    if model_class is None:
        raise _cannot(files, config, task)
    if not any(fnmatchcase(model_class.__name__, pattern) for pattern in task.models):
        raise files.refusal(
            "task-not-possible",
            f"{task.name} is not done with a {model_class.__name__} yet",
            at=("task",),
            found=model_class.__name__,
            expected=f"a model class such as {' or '.join(sorted(set(task.models)))}",
        )
    prefix, labels = task.needed_label, label_numbers(config)
    if prefix and not any(label.lower().startswith(prefix) for label in labels):
        raise files.refusal(
            "task-not-possible",
            f"{task.name} needs a label whose name begins with {prefix!r}, which the checkpoint does not have",
            at=("task",),
            found=f"the labels {', '.join(labels)}",
            expected="a checkpoint trained on entailment",
        )
    return model_class


def class_config(model_class: type[Any], config: Any) -> Any:
    """The part of ``config`` that the class is made of: of a model of several kinds of input, as its auto class does,
    the text model's.
    """
    is_text = model_class.config_class is config.sub_configs.get("text_config")
    return config.get_text_config() if is_text else config


def encoder_class(files: SourceFiles, config: Any) -> type[Any]:
    """The class that runs for feature extraction, with either library; raises SpecError when there is none."""
    import transformers

    encoder_name = ENCODERS.get(config.model_type)
    model_class = getattr(transformers, encoder_name) if encoder_name else _mapped("AutoModel", config)
    if model_class is None:
        raise files.refusal("task-not-possible", f"the library has no encoder for model_type {config.model_type!r}")
    if reason := text_readers.why_not(model_class, config.model_type):
        raise files.refusal(
            "task-not-possible",
            f"texts alone cannot be embedded by a {model_class.__name__} yet: {reason}",
            at=("task",),
            found=model_class.__name__,
            expected="a checkpoint of a model that reads a text by itself and gives the hidden state of each token",
        )
    return model_class


def _mapped(auto_class: str, config: Any) -> type[Any] | None:
    import transformers

    mapping = getattr(transformers, auto_class)._model_mapping  # noqa: SLF001 - the library has no public way to ask
    if type(config) not in mapping:
        return None
    model_class = mapping[type(config)]
    if isinstance(model_class, list | tuple):
        classes = [cls for cls in model_class if cls.__name__ in (config.architectures or ())]
        model_class = (classes or list(model_class))[0]
    assert isinstance(model_class, type)
    return model_class


def possible_tasks(auto_class_fits: Callable[[str], bool]) -> list[str]:
    """The names of the tasks that a checkpoint can do, so that a refusal can say them.

    Args:
        auto_class_fits: Whether the checkpoint's architecture is one of an auto class.

    Returns:
        The tasks of transformers that ask no more of a checkpoint than an architecture, without MLflow's names for
        them, sorted.
    """
    tasks = (table.find(library, name) for library, name in table.TASKS)
    return sorted(
        task.name for task in tasks if task and _is_told(task) and any(map(auto_class_fits, task.auto_classes))
    )


def _is_told(task: Task) -> bool:
    asks_more = task.needed_label or task.chat or task.kind or task.auto_class == "AutoModel"
    return not asks_more and "/" not in task.name


def _cannot(files: SourceFiles, config: Any, task: Task) -> SpecError:
    able = possible_tasks(lambda auto_class: _mapped(auto_class, config) is not None)
    return files.refusal(
        "task-not-possible",
        f"a {config.model_type} checkpoint cannot do {task.name}",
        at=("task",),
        found=task.name,
        expected=f"one of what {config.model_type} can do: {', '.join(able)}" if able else "",
    )
