"""The modules, prompts and settings that a sentence-transformers checkpoint states.

The files are those of sentence-transformers 2 to 6: modules.json, one config a module, and
config_sentence_transformers.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hfspec.errors import StorageError
from hfspec.tasks.task import Task

TRANSFORMER_CONFIGS = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
TORCHS_OWN = re.compile(r"torch\.nn\.(?:modules\.(?:activation|linear)\.)?[A-Z]\w*")
STATED = "config_sentence_transformers.json"
# The task of a Transformer module in each kind of model: the library's name of it, what it reads off the model, and
# what it calls that.
TASKS = {
    "dense": ("feature-extraction", "last_hidden_state", "token_embeddings"),
    "sparse": ("fill-mask", "logits", "token_embeddings"),
    "cross-encoder": ("sequence-classification", "logits", "scores"),
}
# The names of the Transformer module; the second is what sparse encoders called theirs in version 5.
TRANSFORMERS = ("Transformer", "MLMTransformer")
# Settings of a Transformer module that change nothing here, or only at the value given.
PLAIN: Mapping[str, tuple[Any, ...]] = {
    "unpad_inputs": (None, True, False),
    "processing_kwargs": (None, {}),
    "query_length": (None,),
    "document_length": (None,),
    "query_expansion": (None,),
    "model_args": ({},),
    "tokenizer_args": ({},),
    "config_args": ({},),
    "model_kwargs": ({},),
    "processor_kwargs": ({},),
    "config_kwargs": ({},),
}


@dataclass(frozen=True, slots=True)
class Module:
    """A module after the Transformer: the last part of its class's name, its config, the folder of its weights."""

    kind: str
    config: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """``transformer``: the folder of the Transformer module; ``max_seq_length``: None leaves it to the tokenizer;
    ``modules``: those after it, in order.
    """

    transformer: Path
    max_seq_length: int | None
    lower_case: bool
    modules: tuple[Module, ...]


def settings(model: Path) -> dict[str, Any]:
    """config_sentence_transformers.json, empty when there is none: prompts, default_prompt_name, truncate_dim.

    Raises StorageError when it states them in another form.
    """
    config = _read(model / STATED)
    if fault := stated_fault(config):
        raise StorageError(f"{STATED}: {fault}")
    return config


def stated_fault(config: Mapping[str, Any]) -> str:
    """The fault in the form of config_sentence_transformers.json; empty for none."""
    prompts = config.get("prompts") or {}
    if not isinstance(prompts, Mapping) or not all(isinstance(text, str | None) for text in prompts.values()):
        return "its prompts are not a mapping from names to texts"
    if (name := config.get("default_prompt_name")) is not None and name not in prompts:
        return f"its default_prompt_name {name!r} is not one of its prompts"
    if (width := config.get("truncate_dim")) is not None and (not isinstance(width, int) or width <= 0):
        return f"its truncate_dim {width!r} is not a number of dimensions"
    return ""


def own_settings(config: Mapping[str, Any], task: Task) -> dict[str, Any]:
    """The task's settings that config_sentence_transformers.json states."""
    own = {
        "prompt_name": config.get("default_prompt_name"),
        **{name: config.get(name) for name in ("max_active_dims", "similarity_fn_name", "truncate_dim")},
    }
    return {name: value for name, value in own.items() if value is not None and task.setting(name) is not None}


def read(model: Path, *, causal: bool) -> Checkpoint | None:
    """The checkpoint when it is made of parts that hfspec runs itself; None when the library has to run it.

    A checkpoint without modules.json gets what the library gives it: the mean of its tokens, the last token of a
    ``causal`` model.
    """
    if not (model / "modules.json").is_file():
        pooling = Module("Pooling", {"pooling_mode": "lasttoken" if causal else "mean"}, model)
        return Checkpoint(model, None, False, (pooling,))
    checkpoint = _read_modules(model, "dense")
    if checkpoint is None or not checkpoint.modules or not all(_is_known(module) for module in checkpoint.modules):
        return None
    kinds = [module.kind for module in checkpoint.modules]
    return checkpoint if kinds[0] == "Pooling" and kinds.count("Pooling") == 1 else None


def read_cross_encoder(model: Path) -> Checkpoint | None:
    """The checkpoint when it is a classifier alone, at the top of its folder; None when it is made of more.

    sentence-transformers reads the classifier of one that CrossEncoder has not saved, and no settings beside it.
    """
    plain = Checkpoint(model, None, False, ())
    if not (model / "modules.json").is_file():
        return plain
    checkpoint = _read_modules(model, "cross-encoder")
    if checkpoint is None or checkpoint.modules or checkpoint.transformer != model:
        return None
    if not is_saved_cross_encoder(_read(model / STATED), has_modules=True):
        return plain
    return checkpoint if "transformer_task" in transformer_settings(model) else None


def is_saved_cross_encoder(config: Mapping[str, Any], *, has_modules: bool) -> bool:
    """Whether CrossEncoder takes what is beside the classifier for its own: prompts, activation, lengths, modalities.

    Args:
        config: config_sentence_transformers.json.
        has_modules: whether there is a modules.json.
    """
    return has_modules and config.get("model_type") == "CrossEncoder"


def pair_modalities(transformer: Mapping[str, Any], *, is_saved: bool) -> Mapping[str, Any] | None:
    """The modalities that a cross-encoder states for its inputs; None where nothing does. Older versions saved text
    alone.

    Args:
        transformer: the settings of its Transformer module.
        is_saved: whether CrossEncoder has saved it.
    """
    if not is_saved:
        return None
    modalities = transformer.get("modality_config", {"text": {}})
    return modalities if isinstance(modalities, Mapping) else {}


def read_sparse(model: Path) -> Checkpoint | None:
    """The checkpoint when it is a masked-language model with SPLADE pooling (arXiv 2109.10086), else None."""
    checkpoint = _read_modules(model, "sparse") if (model / "modules.json").is_file() else None
    if checkpoint is None or [module.kind for module in checkpoint.modules] != ["SpladePooling"]:
        return None
    config = checkpoint.modules[0].config
    can_pool = config.get("pooling_strategy", "max") in {"max", "sum"}
    return checkpoint if can_pool and config.get("activation_function", "relu") in {"relu", "log1p_relu"} else None


def _read_modules(model: Path, kind: str) -> Checkpoint | None:
    """The Transformer, and the modules after it; None where one is not of the library or the first has settings that
    hfspec does not know.
    """
    entries = json.loads((model / "modules.json").read_text(encoding="utf-8"))
    if not entries or [entry for entry in entries if not entry["type"].startswith("sentence_transformers.")]:
        return None
    first, *rest = [module(model, entry) for entry in entries]
    config = transformer_settings(first.folder)
    if first.kind not in TRANSFORMERS or not _is_plain(config, kind):
        return None
    return Checkpoint(first.folder, config.get("max_seq_length"), bool(config.get("do_lower_case")), tuple(rest))


def transformer_settings(folder: Path) -> dict[str, Any]:
    """The settings in a Transformer module's folder beside config.json: max_seq_length, do_lower_case."""
    return next((config for name in TRANSFORMER_CONFIGS if (config := _read(folder / name))), {})


def pooling_modes(config: Mapping[str, Any]) -> tuple[str, ...]:
    """The pooling modes, in the order in which their vectors are joined."""
    mode = config.get("pooling_mode")
    if mode is None:
        return tuple(name for flag, name in POOLING_FLAGS.items() if config.get(flag)) or ("mean",)
    return (mode,) if isinstance(mode, str) else tuple(mode)


def module(model: Path, entry: Mapping[str, Any]) -> Module:
    """The module of an entry of modules.json."""
    folder = model / entry["path"] if entry["path"] else model
    kind = entry["type"].rsplit(".", 1)[-1]
    return Module(kind, _read(folder / "config.json") if kind not in TRANSFORMERS else {}, folder)


def _is_plain(config: Mapping[str, Any], kind: str) -> bool:
    task, read_off, output = TASKS[kind]
    text_only = {"text": {"method": "forward", "method_output_name": read_off}}
    modalities = [text_only]
    if kind == "cross-encoder":  # pairs go through the chat template where "message" is here (pair_template)
        forms: tuple[dict[str, str], ...] = ({}, *({"format": form} for form in ("auto", "flat", "structured")))
        modalities += [{**text_only, "message": {**text_only["text"], **form}} for form in forms]
    own = {"transformer_task": (task,), "modality_config": tuple(modalities), "module_output_name": (output,)}
    values = {**PLAIN, **own}
    others = {name: value for name, value in config.items() if name not in {"max_seq_length", "do_lower_case"}}
    return all(name in values and value in values[name] for name, value in others.items())


def is_torchs_own(activation: Any) -> bool:
    """Whether a Dense module's activation function is a class of torch.nn."""
    return isinstance(activation, str) and TORCHS_OWN.fullmatch(activation) is not None


def _is_known(module: Module) -> bool:
    names = {module.config.get("module_input_name"), module.config.get("module_output_name")}
    if names - {None, "sentence_embedding"}:
        return False
    if module.kind == "Dense":
        return is_torchs_own(module.config.get("activation_function"))
    if module.kind == "Pooling":
        return set(pooling_modes(module.config)) <= set(POOLING_FLAGS.values())
    return module.kind in {"Normalize", "LayerNorm", "Dropout"}


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StorageError(f"{path.name} is not JSON: {error}") from error
    return value if isinstance(value, dict) else {}
