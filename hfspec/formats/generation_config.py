"""The attributes of a generation config beside the settings of a task, and what becomes of them here.

Every attribute of transformers.GenerationConfig is in exactly one of these tables or among the settings; a test
compares them with the installed library.
"""

from __future__ import annotations

from typing import Any

from hfspec.errors import ParamsError

# In force as the checkpoint says them, by the library's own steps; no spec can set them.
PASSED_ON = ("sequence_bias", "top_h", "watermarking_config")
# How fast answers are made, and in how much memory. Without them answers are those of a plain cache: the same, but for
# a quantized cache, which rounds what it keeps.
SPEED = (
    *("use_mtp", "is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "speculation_type"),
    *("assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind", "assistant_ensemble_weight"),
    *("prompt_lookup_num_tokens", "max_matching_ngram_size", "target_lookbehind"),
    *("cache_implementation", "cache_config", "max_cache_len", "prefill_chunk_size", "low_memory"),
    *("compile_config", "disable_compile", "continuous_batching_config"),
)
# Results of generate() beside the tokens; nobody reads them here.
OUTPUTS = ("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate")
# Ways of decoding that the library has given away to code on the hub: it refuses them where its own rule finds that
# they are asked for, and passes over them elsewhere.
GIVEN_AWAY = ("penalty_alpha", "dola_layers", "diversity_penalty", "num_beam_groups", "constraints", "force_words_ids")
MODES = {
    "CONTRASTIVE_SEARCH": ("contrastive search (penalty_alpha with top_k)", "set do_sample: true, or top_k: 1"),
    "DOLA_GENERATION": ("DoLa (dola_layers)", ""),
    "GROUP_BEAM_SEARCH": ("beams in groups (num_beam_groups)", "set num_beams: 1"),
    "CONSTRAINED_BEAM_SEARCH": ("constrained beams (force_words_ids or constraints)", ""),
}
OTHER_COPY = "name a copy of the checkpoint whose generation_config.json does not ask for it"
# Not done: it rewrites the prompt's own end.
HEALING = "token_healing"
CUSTOM = "custom_generate"
BOOKKEEPING = ("transformers_version", "_from_model_config", "_commit_hash")


def neutral(config: Any) -> Any:
    """The config itself, without what is about speed, memory and outputs that nobody reads here."""
    for name in (*SPEED, *OUTPUTS):
        setattr(config, name, None)
    return config


def reads_tokens(config: Any) -> bool:
    """Whether the config asks for steps that read the tokens before the next one, padding included."""
    return any(getattr(config, name, None) is not None for name in ("sequence_bias", "watermarking_config"))


def refuse_undone(config: Any) -> None:
    """Raises ParamsError when this generation config, with the settings in force, asks for a way of decoding that the
    library refuses or that would be answered otherwise than the library does.
    """
    whole = type(config)()
    defaults: dict[str, Any] = getattr(config, "_get_default_generation_params", dict)()
    for name in ("num_beams", "top_k", "do_sample", *GIVEN_AWAY):
        value = getattr(config, name, None)
        setattr(whole, name, defaults.get(name) if value is None else value)
    what, remedy = MODES.get(whole.get_generation_mode().name, ("", ""))
    if getattr(config, HEALING, None):
        what, remedy = "the healing of a prompt's last tokens (token_healing)", ""
    if what:
        raise ParamsError(
            f"the generation config asks for {what}, which is not done here;"
            f" {f'{remedy}, or ' if remedy else ''}{OTHER_COPY}."
        )


def not_done(config: dict[str, Any], settings: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """The attributes of a generation ``config`` that are no settings: why nothing comes of them -> the names,
    sorted. ``settings``: the settings of any task.
    """
    own = {name for name, value in config.items() if value not in (None, False) and name not in BOOKKEEPING}
    kinds = {
        "in force as the checkpoint says, and no spec can change it": PASSED_ON,
        "is about speed and memory, and is not used, so that answers are those of a plain cache": SPEED,
        "changes what the library returns beside the tokens, and is not used": OUTPUTS,
        "a way of decoding that neither the library nor hfspec has": (*GIVEN_AWAY, CUSTOM, HEALING),
    }
    result = {why: tuple(sorted(own & set(names))) for why, names in kinds.items()}
    others = own - settings - {name for names in kinds.values() for name in names}
    result["not known to the library's own generation, and passed over"] = tuple(sorted(others))
    return {why: names for why, names in result.items() if names}
