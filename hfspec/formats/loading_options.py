"""Options that tell a library where to load from and what to run: never a checkpoint's or an artifact's to say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

# With these the library chooses an implementation: its own by one of these names, or a repository that it fetches a
# kernel from and runs. It does the latter for flash attention too, where that is not installed.
IMPLEMENTATION_KEYS = (
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
)
FLASH = "flash_attention"
# Options of a component that say where and how it is loaded, which is not theirs to say.
LOADING_OPTIONS = frozenset(
    {
        *("_commit_hash", "_from_auto", "cache_dir", "code_revision", "config", "force_download", "gguf_file"),
        *("local_files_only", "proxies", "revision", "subfolder", "token", "tokenizer_type", "trust_remote_code"),
        *("tokenizer_file", "tokenizer_object", "use_auth_token", "vocab_file", "merges_file", "spm_file"),
    }
)
# The sections that sentence-transformers' Transformer module hands on to transformers' loaders as its config has them.
HANDED_ON = ("model_args", "tokenizer_args", "config_args", "model_kwargs", "processor_kwargs", "config_kwargs")
ELSEWHERE = LOADING_OPTIONS | {
    *("adapter_kwargs", "allow_all_kernels", "backend", "device_map", "export", "file_name", "kernel_config"),
    *("key_mapping", "provider", "quantization_config", "state_dict", "use_kernels", "variant", "weights_only"),
}


def handed_on_faults(config: Any) -> Iterator[str]:
    """The options that the config of a Transformer module hands on and that are not its to say."""
    if not isinstance(config, Mapping):
        return
    for section in HANDED_ON:
        options = config.get(section) or {}
        if not isinstance(options, Mapping):
            yield f"{section}, which is not a mapping"
            continue
        for key in sorted(ELSEWHERE & {key for key, value in options.items() if value}):
            yield f"{section}.{key}: {options[key]!r}, which decides where the model is loaded from, or what runs"
        for key in IMPLEMENTATION_KEYS:
            yield from (
                f"{section}.{key}: {text!r}, which the library fetches and runs" for text in foreign(options.get(key))
            )
    length = config.get("max_seq_length")
    if length is not None and (not isinstance(length, int) or length <= 0):
        yield f"max_seq_length: {length!r}, which is not a number of tokens"


def foreign(value: Any) -> list[str]:
    """The implementations in ``value``, one or one a part, that the library would fetch and run."""
    texts = [value] if isinstance(value, str) else list(value.values()) if isinstance(value, Mapping) else []
    flash = find_spec("flash_attn") is not None
    return [text for text in texts if isinstance(text, str) and ("/" in text or (FLASH in text and not flash))]
