"""Every setting in force and where it came from, and hfspec's own defaults for what nobody says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hfspec.checkpoint.sentences.embedding import stated_settings
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.sentence_modules import STATED
from hfspec.ir.frozen import FrozenDict
from hfspec.ir.plan import SettingRow
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.library_calls.quiet import quiet
from hfspec.tasks.task import Task

GENERATION_CONFIG = "generation_config.json"
# A task with one of these settings loads its model with the generation config.
GENERATING = ("max_new_tokens", "max_length")
SEQ2SEQ = "AutoModelForSeq2SeqLM"
OUR_DEFAULT = "hfspec default"
TASK_PARAMS = "task_specific_params of config.json"
# A default gives way when one of these is said, since they decide the same thing.
GIVES_WAY = {"max_new_tokens": ("max_length", "max_time", "max_tokens")}
# Bookkeeping of the library in generation_config.json.
NOT_SETTINGS = ("transformers_version", "_from_model_config")


@dataclass(frozen=True, slots=True)
class SettingLayers:
    """The settings that are in force though no spec says them, from the lowest layer to the highest: hfspec's own, what
    the checkpoint's generation config says, what its config says for this task alone, and what sentence-transformers'
    own config says.
    """

    defaults: FrozenDict
    generation: FrozenDict
    specific: FrozenDict
    stated: FrozenDict

    def rows(self) -> Iterator[SettingRow]:
        """One a setting and layer, the layer that is in force last."""
        yield from (SettingRow(key, value, OUR_DEFAULT) for key, value in self.defaults.items())
        yield from (SettingRow(key, value, GENERATION_CONFIG) for key, value in self.generation.items())
        yield from (SettingRow(key, value, TASK_PARAMS) for key, value in self.specific.items())
        yield from (SettingRow(key, value, STATED) for key, value in self.stated.items())


def setting_layers(spec: Spec, task: Task, files: SourceFiles, config: Mapping[str, Any], folder: str) -> SettingLayers:
    """The layers under the spec's own. ``folder``: where the transformers checkpoint lies in ``files``.

    Raises SpecError when the library refuses the checkpoint's generation config, as it would when the model is loaded.
    """
    raw = files.json(f"{folder}{GENERATION_CONFIG}")
    if raw and any(task.setting(name) for name in GENERATING):
        _check_generation(files, raw)
    generation = _generation_settings(raw, task)
    specific = _task_params(config, task, spec.task)
    return SettingLayers(
        defaults=_own_defaults(task, spec, {**generation, **specific}),
        generation=FrozenDict(generation),
        specific=FrozenDict(specific),
        stated=FrozenDict(stated_settings(files, task)),
    )


def narrowed(task: Task, model_class: str) -> Task:
    """The task with only the settings that a model of this class can use."""
    return replace(task, settings=tuple(setting for setting in task.settings if setting.suits(model_class)))


def dead_settings(files: SourceFiles, spec: Spec, task: Task, model_class: str) -> Iterator[Problem]:
    """What the spec sets and this model cannot use, though others of the task can."""
    for section, names in (("model_config",), spec.inference), (("signature", "params"), spec.signature.params):
        for name in names:
            setting = task.setting(name)
            if setting is not None and not setting.suits(model_class):
                yield files.problem(
                    "dead-key",
                    f"a {model_class} has no use for the setting `{name}`",
                    at=(*section, name),
                    expected=f"a model class such as {setting.models}",
                    remedy="remove it",
                )


def setting_rows(tree: Tree, spec: Spec, layers: SettingLayers, stored_dtype: str) -> tuple[SettingRow, ...]:
    """The rows of the plan: the deployment's own keys first, then the inference settings by name."""
    inference = {row.key: row for row in layers.rows()} | {
        key: SettingRow(key, value, _origin(tree, ("model_config", key))) for key, value in spec.inference.items()
    }
    params = tuple(
        SettingRow(f"signature.params.{name}", param.default, _origin(tree, ("signature", "params", name)))
        for name, param in spec.signature.params.items()
    )
    return (*_own_keys(tree, spec, stored_dtype), *(inference[key] for key in sorted(inference)), *params)


def _check_generation(files: SourceFiles, raw: Mapping[str, Any]) -> None:
    from transformers import GenerationConfig

    for key, value in raw.items():
        ids = value if isinstance(value, list) else [value]
        if key.endswith("_token_id") and not all(isinstance(number, int | None) for number in ids):
            raise files.refusal(
                "broken-checkpoint", f"{GENERATION_CONFIG}: {key} is not a token's id", found=repr(value)
            )
    try:
        with quiet():
            GenerationConfig.from_dict(dict(raw))
    except Exception as error:  # the library may raise anything over values that make no sense
        raise files.refusal("broken-checkpoint", f"the library refuses {GENERATION_CONFIG}: {error}") from error


def _generation_settings(raw: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The entries of generation_config.json that set something of the task's."""
    said = {key: value for key, value in sorted(raw.items()) if key not in NOT_SETTINGS and value is not None}
    return {name: value for name, value in said.items() if task.setting(name) is not None}


def _task_params(config: Mapping[str, Any], task: Task, written: str) -> dict[str, Any]:
    """Settings that the checkpoint's config has for this task alone; they lie over its generation config where the task
    is an encoder-decoder model's, as the library's pipelines had it. ``written``: the task's name in the spec.
    """
    specific = (config.get("task_specific_params") or {}).get(written) or {}
    if task.auto_class != SEQ2SEQ or not isinstance(specific, Mapping):
        return {}
    return {name: value for name, value in sorted(specific.items()) if task.setting(name) is not None}


def _own_defaults(task: Task, spec: Spec, generation: Mapping[str, Any]) -> FrozenDict:
    """Values for the settings that neither the checkpoint's generation config nor the spec says."""
    said = {*generation, *spec.inference, *spec.signature.params}
    return FrozenDict(
        {
            setting.name: setting.default
            for setting in task.settings
            if setting.default is not None and not said & {setting.name, *GIVES_WAY.get(setting.name, ())}
        }
    )


def _own_keys(tree: Tree, spec: Spec, dtype: str) -> Iterator[SettingRow]:
    stored = "as stored in the checkpoint"
    if spec.dtype == "auto":
        yield SettingRow("dtype", dtype, stored)
    else:
        yield SettingRow("dtype", spec.dtype, _origin(tree, ("dtype",)))
    for key in ("outputs", "max_shard_size", "prompt_template"):
        value = getattr(spec, key)
        if value is not None:
            yield SettingRow(key, value, _origin(tree, (key,)))
    for key in type(spec.runtime).model_fields:
        if key in spec.runtime.model_fields_set:
            yield SettingRow(f"runtime.{key}", getattr(spec.runtime, key), _origin(tree, ("runtime", key)))
    for part, component in spec.components.given():
        for name, option in component.options.items():
            path = ("components", part, "options", name)
            yield SettingRow(".".join(path), option, _origin(tree, path))


def _origin(tree: Tree, path: KeyPath) -> str:
    value: Any = tree.value
    for part in path:
        if not isinstance(value, Mapping) or part not in value:
            return OUR_DEFAULT
        value = value[str(part)]
    return str(tree.origin(path))
