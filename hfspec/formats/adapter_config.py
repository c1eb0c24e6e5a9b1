"""The keys that the config of a PEFT adapter in an artifact may have, and those it must not: where other files lie,
which code to import, which kinds of adapter there are that need more than their own folder.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

FOLDER = "adapter"
CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
# Before the name of a tensor of the model in an adapter's file.
BEFORE_NAMES = "base_model.model."
# Keys that name a model, a tokenizer, a file or a class elsewhere. peft follows base_model_name_or_path and imports
# auto_mapping in its AutoPeftModel classes, and imports megatron_core when megatron_config is set.
ELSEWHERE = (
    "auto_mapping",
    "base_model_name_or_path",
    "megatron_config",
    "prompt_tuning_init_state_dict_path",
    "revision",
    "shadow_model",
    "tokenizer_kwargs",
    "tokenizer_name_or_path",
)
# How the weights began, which the stored ones replace; each may hold paths of the machine that trained them.
BEGINNINGS = ("corda_config", "eva_config", "lora_ga_config", "loftq_config")
TOKENIZED_INIT = "TEXT"
OF_A_TASK = "which needs the number of a training task with every row"
# Types that need more at each call, or from elsewhere, than an artifact has.
NEED_MORE = MappingProxyType(
    {
        "MULTITASK_PROMPT_TUNING": OF_A_TASK,
        "POLY": OF_A_TASK,
        "SHADOW": "which runs a second model beside the base",
        "XLORA": "which mixes further adapters that lie elsewhere",
    }
)


def neutral(config: Mapping[str, Any], options: Collection[str]) -> dict[str, Any]:
    """The config with the ``options`` of peft alone, without what leads elsewhere; peft loads the same adapter
    from it.
    """
    changed = {key: value for key, value in config.items() if key in options}
    changed.update({key: None for key in ELSEWHERE if key in changed})
    changed.update({key: {} if key == "loftq_config" else None for key in BEGINNINGS if key in changed})
    if changed.get("prompt_tuning_init") == TOKENIZED_INIT:
        changed["prompt_tuning_init"] = "RANDOM"
    if changed.get("init_lora_weights") == "eva":
        changed["init_lora_weights"] = True
    return {**changed, "inference_mode": True}


def faults(config: Any) -> Iterator[str]:
    """The contents of an artifact's adapter config that the compiler never writes."""
    if not isinstance(config, Mapping):
        yield "no JSON object"
        return
    kind = str(config.get("peft_type"))
    if kind in NEED_MORE:
        yield f"an adapter of type {kind}, {NEED_MORE[kind]}"
    for key in ELSEWHERE:
        if config.get(key) is not None:
            yield f"{key}: {config[key]!r}, which leads out of the artifact"
    if config.get("prompt_tuning_init") == TOKENIZED_INIT:
        yield f"prompt_tuning_init: {TOKENIZED_INIT}, with which peft loads a tokenizer from elsewhere"
