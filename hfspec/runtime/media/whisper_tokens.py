"""The token ids that Whisper needs in a generation config, from the tokenizer where the config lacks them."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

NO_TIMES = "no_timestamps_token_id"
# The vocabulary of the English-only models; those of other languages have one token more, or two
# (https://github.com/openai/whisper, `is_multilingual` in model.py).
ENGLISH_VOCABULARY = 51864


def completed(config: Any, model_config: Any, tokenizer: Any) -> Any:
    """The generation config ``config``, with the ids of languages, tasks and timestamps that it lacks and the tokenizer
    ``tokenizer`` has; ``config`` itself where it lacks none.
    """
    vocabulary: Mapping[str, int] = tokenizer.get_vocab()
    ids = {token: index for token, index in vocabulary.items() if index < model_config.vocab_size}
    lacking = {name: value for name, value in _ids(config, model_config, ids).items() if not _states(config, name)}
    if not lacking:
        return config
    whole = deepcopy(config)
    for name, value in lacking.items():
        setattr(whole, name, value)
    return whole


def _ids(config: Any, model_config: Any, vocabulary: Mapping[str, int]) -> dict[str, Any]:
    from transformers.models.whisper.tokenization_whisper import LANGUAGES, TASK_IDS

    times = (
        {}
        if _states(config, NO_TIMES)
        else {
            name: vocabulary[token]
            for name, token in ((NO_TIMES, "<|notimestamps|>"), ("prev_sot_token_id", "<|startofprev|>"))
            if token in vocabulary
        }
    )
    languages = {f"<|{code}|>": vocabulary[f"<|{code}|>"] for code in LANGUAGES if f"<|{code}|>" in vocabulary}
    is_multilingual = getattr(config, "is_multilingual", None)
    if is_multilingual is None:
        several = len(languages) > 1 and model_config.vocab_size != ENGLISH_VOCABULARY
        is_multilingual = several or _states(config, "lang_to_id")
    if not is_multilingual:
        return {**times, "is_multilingual": False}
    tasks = {task: vocabulary[f"<|{task}|>"] for task in TASK_IDS if f"<|{task}|>" in vocabulary}
    ids_of = {"lang_to_id": languages, "task_to_id": tasks}
    return {**times, "is_multilingual": True, **{name: ids for name, ids in ids_of.items() if ids}}


def _states(config: Any, name: str) -> bool:
    return getattr(config, name, None) is not None
