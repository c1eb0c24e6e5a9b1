"""Which classes of a checkpoint's own code a task could use: the entries of ``auto_map`` in its configs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hfspec.checkpoint.source_files import SourceFiles
from hfspec.tasks.task import PROCESSOR, Task

CONFIG, MODEL = "config", "model"
REFERENCE = re.compile(r"[A-Za-z_]\w*\.[A-Za-z_]\w*")
# Component -> the library's auto class, and the files that may name a class for it, each with the key that names one of
# the library's own.
COMPONENTS: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "tokenizer": ("AutoTokenizer", (("tokenizer_config.json", "tokenizer_class"),)),
    "feature_extractor": ("AutoFeatureExtractor", (("preprocessor_config.json", "feature_extractor_type"),)),
    "image_processor": ("AutoImageProcessor", (("preprocessor_config.json", "image_processor_type"),)),
    PROCESSOR: (
        "AutoProcessor",
        (("processor_config.json", "processor_class"), ("preprocessor_config.json", "processor_class")),
    ),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A class of code that a config names. ``part``: what it is in the deployment (``config``, ``model``, or a
    component); ``where``: the file that names it; ``text``: as it is written there. ``needed``: the library has no
    class of its own for the part.
    """

    part: str
    files: SourceFiles
    folder: str
    where: str
    text: str
    needed: bool

    @property
    def repository(self) -> str:
        """The repository that the code lies in, empty where that is the checkpoint's own."""
        return self.text.partition("--")[0] if "--" in self.text else ""

    @property
    def is_sound(self) -> bool:
        """Whether it names a class in a file beside the config."""
        return REFERENCE.fullmatch(self.text) is not None

    @property
    def path(self) -> str:
        """The file inside the source."""
        return f"{self.folder}{self.text.partition('.')[0]}.py"

    @property
    def class_name(self) -> str:
        return self.text.rpartition(".")[2]


def auto_classes(task: Task) -> tuple[str, ...]:
    """The auto classes under which a checkpoint may name its model for the task."""
    return ("AutoModel",) if task.kind == "dense" else task.auto_classes


def references(
    task: Task, files: SourceFiles, folder: str, raw: Mapping[str, Any], own: Mapping[str, SourceFiles]
) -> tuple[Reference, ...]:
    """The references of the model in ``folder``, whose config is ``raw``, and of the components that the task has."""
    result = [*_of_model(task, files, folder, raw)]
    whole = own.get(PROCESSOR)
    for name in (*task.components, *([PROCESSOR] if whole is not None else [])):
        source = own.get(name, whole) or files
        place = folder if source is files and name == "tokenizer" else ""
        result += _of_component(name, source, place)
    return tuple(result)


def _of_model(task: Task, files: SourceFiles, folder: str, raw: Mapping[str, Any]) -> Iterator[Reference]:
    where = f"{folder}config.json"
    auto_map = entries(raw)
    is_known, able = _library_has(raw, task)
    if "AutoConfig" in auto_map:
        yield Reference(CONFIG, files, folder, where, _text(auto_map["AutoConfig"]), needed=not is_known)
    name = next((name for name in auto_classes(task) if name in auto_map), "")
    if name:
        yield Reference(MODEL, files, folder, where, _text(auto_map[name]), needed=not able)


def _library_has(raw: Mapping[str, Any], task: Task) -> tuple[bool, bool]:
    """Whether the library has a config class for the checkpoint, and a model class for the task."""
    import transformers
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING:
        return False, False
    config = CONFIG_MAPPING[model_type]
    mappings = (getattr(transformers, name)._model_mapping for name in auto_classes(task))  # noqa: SLF001 - no public way
    return True, any(config in mapping for mapping in mappings)


def _of_component(name: str, files: SourceFiles, folder: str) -> Iterator[Reference]:
    auto_class, places = COMPONENTS[name]
    for file, key in places:
        where = f"{folder}{file}"
        config = files.json(where)
        entry = entries(config).get(auto_class)
        if entry is not None:
            is_known = _is_of_the_library(config.get(key))
            yield Reference(name, files, folder, where, _text(entry), needed=not is_known)
            return


def _is_of_the_library(class_name: Any) -> bool:
    """Whether a component's class is one that the library has; where none is stated, it goes by the model's type."""
    import transformers

    if not isinstance(class_name, str):
        return True
    return any(isinstance(getattr(transformers, name, None), type) for name in (class_name, f"{class_name}Fast"))


def entries(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Auto class -> what the config has for it; a bare list is an old tokenizer's."""
    auto_map = config.get("auto_map")
    if isinstance(auto_map, list):
        return {"AutoTokenizer": auto_map}
    return auto_map if isinstance(auto_map, Mapping) else {}


def _text(entry: Any) -> str:
    """A tokenizer's entry is a pair, slow and fast; the fast one counts where there is one."""
    if isinstance(entry, list):
        return next((str(item) for item in reversed(entry) if item is not None), "")
    return str(entry)
