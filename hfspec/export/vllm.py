"""A folder that vLLM serves: the model, its chat template and adapter, and the command with the settings in force."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hfspec.export.engines import ENGINES, Options, model_files, refuse, script, shared_reasons, unexpressed
from hfspec.export.facts import Facts
from hfspec.export.writing import Files
from hfspec.settings.generation import samples
from hfspec.settings.precedence import CHECKPOINT, Settings
from hfspec.settings.request_settings import generating

TASKS = ("text-generation", "conversational", "llm/v1/chat", "llm/v1/completions")
REQUESTS = ("llm/v1/chat", "llm/v1/completions")  # their settings are read as OpenAI's requests are
# Settings of LoRA that vLLM does not have.
NOT_OF_VLLM = ("modules_to_save", "use_dora", "layer_replication", "trainable_token_indices", "lora_bias")
DTYPES = ("float32", "float16", "bfloat16")
# The settings that vLLM's generation config has too; temperature 0 is its greedy search.
SAMPLING = ("temperature", "top_p", "top_k", "min_p")
PENALTIES = {
    "repetition_penalty": 1.0,
    "frequency_penalty": 0.0,
    "presence_penalty": 0.0,
}  # with the value that does nothing
ANYWAY: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        **dict.fromkeys((*SAMPLING, *PENALTIES, "do_sample", "max_new_tokens", "max_tokens"), ()),
        # These only say how hfspec computes, or vLLM reads them in the model's own files.
        **dict.fromkeys(("batch_tokens", "use_cache", "bos_token_id", "eos_token_id", "pad_token_id"), ()),
        "num_beams": (None, 1),
        "n": (None, 1),
        "num_return_sequences": (None, 1),
        "length_penalty": (None, 1.0),
        "early_stopping": (None, False),
        "no_repeat_ngram_size": (None, 0),
        "min_length": (None, 0),
        "min_new_tokens": (None, 0),
        "typical_p": (None, 1.0),
        "include_prompt": (None, False),
        "return_full_text": (None, False),
        "max_length": (None, 20),  # the default of configs; max_new_tokens takes precedence
        "add_special_tokens": (None, True),
    }
)
REMEDIES = MappingProxyType(
    {
        "truncation": "vLLM refuses a prompt that is too long; callers may give truncate_prompt_tokens",
        "seed": "callers may give a seed",
        "stop": "callers may give stop",
        "stop_strings": "callers may give stop",
        "num_beams": "vLLM has no beam search as a default; callers may give use_beam_search",
    }
)


def files(facts: Facts, _: Options) -> Files:
    """List the files of the folder.

    Args:
        facts: The artifact's facts.

    Returns:
        Path -> content.

    Raises:
        UsageError: With everything that vLLM cannot express.
    """
    refuse("vllm", facts, _reasons(facts))
    model = model_files(facts)
    adapter = {f"adapter/{path}": file for path, file in facts.under("adapter/").items()} if facts.has_adapter else {}
    template = model.get("model/chat_template.jinja")
    command = script(ENGINES["vllm"], facts, list(_options(facts, has_template=template is not None)))
    return {"serve.sh": command, **model, **adapter, **({"chat_template.jinja": template} if template else {})}


def notes(_: Facts, __: Options) -> Iterator[str]:
    """Remarks on the export, each a sentence."""
    yield f"the options are those of vLLM {ENGINES['vllm'].version}; no vLLM runs in hfspec's tests"


def generation(facts: Facts) -> dict[str, Any]:
    """The settings in force as vLLM's generation config: greedy search is a temperature of 0."""
    settings = _settings(facts)
    values = {name: value for name, value in settings.items() if value is not None}
    if facts.task.name in REQUESTS:
        resolved = generating(settings)
        config: dict[str, Any] = {"max_new_tokens": resolved.get("max_new_tokens")}
        is_sampled = bool(resolved["do_sample"])
    else:
        config = {"max_new_tokens": values.get("max_new_tokens")}
        is_sampled = samples(settings)
    if is_sampled:
        config |= {name: values[name] for name in SAMPLING if name in values}
        config.setdefault("temperature", 1.0)
        config.setdefault("top_k", 50)  # transformers' own where nothing else is said
        config["top_k"] = config["top_k"] or -1
    else:
        config["temperature"] = 0.0
    config |= {name: values[name] for name, none in PENALTIES.items() if values.get(name, none) != none}
    return {name: value for name, value in config.items() if value is not None}


def _settings(facts: Facts) -> Settings:
    layers: dict[str, dict[str, Any]] = {}
    for name, setting in facts.settings.items():
        layers.setdefault(setting.origin, {})[name] = setting.value
    return Settings(layers)


def _reasons(facts: Facts) -> Iterator[str]:
    deployment = facts.manifest.deployment
    if facts.task.name not in TASKS:
        yield f"task: {deployment.task}; vLLM is exported for {', '.join(TASKS)}, and `export tei` for embeddings"
        return
    yield from shared_reasons(facts)
    if deployment.computed_dtype not in DTYPES:
        yield f"dtype: {deployment.computed_dtype}; vLLM has {', '.join(DTYPES)}"
    if facts.has_adapter:
        yield from _adapter_reasons(facts.files.json("adapter/adapter_config.json"))
    for name in ("bos_token_id", "eos_token_id"):
        if name in facts.settings and facts.settings[name].origin != CHECKPOINT:
            yield f"settings: {name} is {facts.settings[name].value!r}; vLLM takes that of the model's own files"
    yield from unexpressed(facts, ANYWAY, REMEDIES)


def _adapter_reasons(config: Mapping[str, Any]) -> Iterator[str]:
    remedy = "`merge: true` in the spec's adapter makes it part of the model"
    if config.get("peft_type") != "LORA":
        yield f"adapter: {config.get('peft_type')}; vLLM has LORA; {remedy}"
        return
    extra = [name for name in NOT_OF_VLLM if config.get(name)]
    extra += ["bias"] if config.get("bias", "none") != "none" else []
    if extra:
        yield f"adapter: {', '.join(extra)}; vLLM has none of it; {remedy}"
    if _rank(config) is None:
        yield f"adapter: rank {config.get('r')}; vLLM has up to {_ranks()[-1]}; {remedy}"


def _rank(config: Mapping[str, Any]) -> str | None:
    """The least rank of vLLM's that holds the adapter's."""
    rank = max([int(config.get("r") or 0), *map(int, (config.get("rank_pattern") or {}).values())])
    return next((text for text in _ranks() if int(text) >= rank), None)


def _ranks() -> tuple[str, ...]:
    return tuple(ENGINES["vllm"].options["--max-lora-rank"] or ())


def _options(facts: Facts, *, has_template: bool) -> Iterator[tuple[str, str | None]]:
    yield "--served-model-name", facts.name if not facts.has_adapter else f"{facts.name}-base"
    yield "--dtype", facts.manifest.deployment.computed_dtype
    yield "--generation-config", "vllm"  # the model's own, which would let greedy models sample, is left out
    yield "--override-generation-config", json.dumps(generation(facts))
    if has_template:
        yield "--chat-template", "./chat_template.jinja"
    if facts.has_adapter:
        yield "--enable-lora", None
        yield "--max-lora-rank", _rank(facts.files.json("adapter/adapter_config.json"))
        yield "--lora-modules", f"{facts.name}=./adapter"
