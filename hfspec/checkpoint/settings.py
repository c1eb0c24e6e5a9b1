"""Every setting in force and where it came from, and hfspec's own defaults for what nobody says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hfspec.checkpoint.config import library_config
from hfspec.checkpoint.generation_config import GENERATING, GENERATION_CONFIG, generation_config, refusal
from hfspec.checkpoint.sentences.embedding import stated_settings
from hfspec.checkpoint.source_files import SourceFiles
from hfspec.formats.sentence_modules import STATED
from hfspec.ir.frozen import FrozenDict, freeze
from hfspec.ir.plan import SettingRow
from hfspec.ir.problem import KeyPath, Problem
from hfspec.ir.spec import Spec
from hfspec.ir.tree import Tree
from hfspec.library_calls.quiet import quiet
from hfspec.settings.precedence import CHECKPOINT, HFSPEC_DEFAULT, MODEL_CONFIG, SIGNATURE, Settings, layers_of
from hfspec.tasks.task import Task

SEQ2SEQ = "AutoModelForSeq2SeqLM"
MODEL_DEFAULTS = "config.json"
TASK_PARAMS = "task_specific_params of config.json"
# Bookkeeping of the library in generation_config.json.
NOT_SETTINGS = ("transformers_version", "_from_model_config")


@dataclass(frozen=True, slots=True)
class SettingLayers:
    """The settings in force, and which file of the checkpoint says each of those that the checkpoint says."""

    in_force: Settings
    generation: FrozenDict
    """From the checkpoint's generation config."""
    files: FrozenDict
    """Setting -> the file, or the part of it, that is in force among those of the checkpoint."""

    @property
    def defaults(self) -> FrozenDict:
        """Hfspec's own, of what neither the checkpoint nor the spec says."""
        return FrozenDict({name: value for name, value in self.in_force.items() if self._is_ours(name)})

    def _is_ours(self, name: str) -> bool:
        return self.in_force.origin(name) == HFSPEC_DEFAULT


def setting_layers(
    spec: Spec,
    task: Task,
    files: SourceFiles,
    config: Mapping[str, Any],
    *,
    folder: str,
    model_class: str,
    is_code: bool,
) -> SettingLayers:
    """The settings of a call that sets none. ``folder``: where the transformers checkpoint lies in ``files``;
    ``is_code``: the model's class is code of the checkpoint's own.

    Raises SpecError when the library refuses the checkpoint's generation config, as it would when the model is loaded.
    """
    raw = generation_config(files, folder, task, spec)
    if raw and any(task.setting(name) for name in GENERATING):
        _check_generation(files, raw)
    generation = _generation_settings(raw, task)
    by_file = {
        MODEL_DEFAULTS: _model_defaults(files, folder, raw, task, is_code=is_code),
        GENERATION_CONFIG: generation,
        TASK_PARAMS: _task_params(config, task, spec.task),
        STATED: stated_settings(files, task),
    }
    layers = layers_of(
        task,
        model_class,
        checkpoint={name: value for settings in by_file.values() for name, value in settings.items()},
        model_config=spec.inference,
        signature={name: param.default for name, param in spec.signature.params.items()},
    )
    return SettingLayers(
        in_force=Settings(layers),
        generation=FrozenDict(generation),
        files=FrozenDict({name: file for file, settings in by_file.items() for name in settings}),
    )


def narrowed(task: Task, model_class: str) -> Task:
    """The task with only the settings that a model of this class can use."""
    return replace(task, settings=tuple(setting for setting in task.settings if setting.suits(model_class)))


def dead_settings(files: SourceFiles, spec: Spec, task: Task, model_class: str) -> Iterator[Problem]:
    """A problem for each setting of the spec that this model cannot use, though others of the task can."""
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
    """The rows of the plan: the deployment's own keys first, then the settings in force by name, those that callers may
    change last.
    """
    fixed, params = [], []
    for name, (value, layer) in layers.in_force.table().items():
        row = SettingRow(name, freeze(value), _said_by(tree, layers, name, layer))
        if layer == SIGNATURE:
            params.append(replace(row, key=f"signature.params.{name}"))
        else:
            fixed.append(row)
    return (*_own_keys(tree, spec, stored_dtype), *fixed, *params)


def _said_by(tree: Tree, layers: SettingLayers, name: str, layer: str) -> str:
    """The place in the spec or the file of the checkpoint that a setting in force comes from."""
    if layer == SIGNATURE:
        return _origin(tree, ("signature", "params", name))
    if layer == MODEL_CONFIG:
        return _origin(tree, ("model_config", name))
    return str(layers.files[name]) if layer == CHECKPOINT else HFSPEC_DEFAULT


def _check_generation(files: SourceFiles, raw: Mapping[str, Any]) -> None:
    for key, value in raw.items():
        ids = value if isinstance(value, list) else [value]
        if key.endswith("_token_id") and not all(isinstance(number, int | None) for number in ids):
            raise files.refusal(
                "broken-checkpoint", f"{GENERATION_CONFIG}: {key} is not a token's id", found=repr(value)
            )
    if why := refusal(raw):
        raise files.refusal(
            "broken-checkpoint",
            f"the library refuses {GENERATION_CONFIG}: {why}",
            remedy="set under model_config what makes its settings go together, or mend the file at its source",
        )


def _generation_settings(raw: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The entries of generation_config.json that set something of the task's."""
    values = {key: value for key, value in sorted(raw.items()) if key not in NOT_SETTINGS and value is not None}
    return {name: value for name, value in values.items() if task.setting(name) is not None}


def _model_defaults(
    files: SourceFiles, folder: str, raw: Mapping[str, Any], task: Task, *, is_code: bool
) -> dict[str, Any]:
    """The settings that transformers takes from the model's config for a checkpoint without a generation config."""
    if raw or files.has(f"{folder}{GENERATION_CONFIG}") or not any(task.setting(name) for name in GENERATING):
        return {}
    from transformers import GenerationConfig

    with quiet():
        generation_config = GenerationConfig.from_model_config(library_config(files, folder, is_code=is_code))
    return _generation_settings(generation_config.to_diff_dict(), task)


def _task_params(config: Mapping[str, Any], task: Task, task_name: str) -> dict[str, Any]:
    """Settings that the checkpoint's config has for this task alone; they lie over its generation config where the task
    is an encoder-decoder model's, as the library's pipelines had it. ``task_name``: the task's name in the spec.
    """
    specific = (config.get("task_specific_params") or {}).get(task_name) or {}
    if task.auto_class != SEQ2SEQ or not isinstance(specific, Mapping):
        return {}
    return {name: value for name, value in sorted(specific.items()) if task.setting(name) is not None}


def _own_keys(tree: Tree, spec: Spec, dtype: str) -> Iterator[SettingRow]:
    dtype_source = "as stored in the checkpoint"
    if spec.dtype == "auto":
        yield SettingRow("dtype", dtype, dtype_source)
    else:
        yield SettingRow("dtype", spec.dtype, _origin(tree, ("dtype",)))
    if "format" in spec.model_fields_set:
        yield SettingRow("format", spec.format, _origin(tree, ("format",)))
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
            return HFSPEC_DEFAULT
        value = value[str(part)]
    return str(tree.origin(path))
