"""The settings of one call as the library's generation config, and what they mean for batching."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from threading import Lock
from typing import Any

from hfspec.errors import ParamsError
from hfspec.runtime.settings import HFSPEC_DEFAULT, Settings
from hfspec.tasks import generation

NAMES = frozenset(setting.name for setting in generation.SETTINGS) - generation.OUR_OWN
LENGTHS = frozenset({"max_new_tokens", "max_length"})
SAMPLING = frozenset({"temperature", "top_k", "top_p", "min_p", "typical_p", "epsilon_cutoff", "eta_cutoff"})
BEAMS = frozenset({"early_stopping", "length_penalty"})
# What reads the prompt's tokens or counts them, so that padding in front of a prompt would change the answer; with the
# value at which each does nothing.
READS_PROMPT = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "bad_words_ids": None,
    "guidance_scale": 1,
    "stop_strings": None,
}
_DRAWING = Lock()


def apart(model: Any) -> tuple[Any, Any]:
    """(the model over the same weights but without a generation config of its own, the checkpoint's generation config).

    generate() mixes the model's own config back into that of a call, and would then warn of settings that the call has
    left out on purpose. The model given is left as it is, for those who use it by itself.
    """
    base = copy.deepcopy(model.generation_config)
    bare = copy.copy(model)
    bare.generation_config = copy.deepcopy(base)
    for name in LENGTHS | SAMPLING | BEAMS:
        setattr(bare.generation_config, name, None)
    return bare, base


def own(config: Any) -> dict[str, Any]:
    """What the checkpoint's generation config states, by the names of the settings."""
    return {name: value for name, value in config.to_diff_dict().items() if name in NAMES and value is not None}


def answers_per_prompt(settings: Settings) -> int:
    return int(settings.get("num_return_sequences") or 1)


def room_wanted(settings: Settings) -> tuple[int | None, int | None]:
    """(new tokens, total tokens) asked for: one of them is None. Of the two settings the one from the higher layer
    holds; in the same layer max_new_tokens does, as in the library.
    """
    if "max_length" in settings and settings.rank("max_length") > settings.rank("max_new_tokens"):
        return None, int(settings["max_length"])
    return int(settings.get("max_new_tokens") or 20), None  # 20 is the library's own


def is_default_room(settings: Settings) -> bool:
    """Whether nobody asked for a number of new tokens, so that fewer will do where there is no room."""
    return settings.origin("max_new_tokens") == HFSPEC_DEFAULT


def reads_prompt(settings: Settings) -> bool:
    """Whether a prompt's own length or tokens matter to more than attention."""
    return any(settings.get(name) not in (None, neutral) for name, neutral in READS_PROMPT.items())


def samples(settings: Settings) -> bool:
    return bool(settings.get("do_sample"))


def config_for(base: Any, settings: Settings, new_tokens: int, pad: int) -> Any:
    """The generation config of one call; raises ParamsError when the library finds its settings at odds."""
    config = copy.deepcopy(base)
    wanted = {name: settings[name] for name in NAMES - LENGTHS if name in settings}
    unused = (set() if samples(settings) else SAMPLING) | (BEAMS if (settings.get("num_beams") or 1) == 1 else set())
    for name in unused | LENGTHS:
        setattr(config, name, None)
    given = {name: value for name, value in wanted.items() if name not in unused and value is not None}
    config.update(**{"pad_token_id": pad, **given}, max_new_tokens=new_tokens)
    return config


def check(base: Any, settings: Settings) -> None:
    """Raises ParamsError when the library finds the settings at odds with each other."""
    count = answers_per_prompt(settings)
    if count > max(1, int(settings.get("num_beams") or 1)) and not samples(settings):
        raise ParamsError(
            f"num_return_sequences is {count}, but without sampling or as many beams there is only one answer to give;"
            f" set do_sample: true, or num_beams: {count}."
        )
    try:
        config_for(base, settings, new_tokens=1, pad=0).validate()
    except ValueError as error:
        raise ParamsError(f"the generation settings do not go together: {error}") from error


def end_tokens(tokens: int | Sequence[int] | None) -> set[int]:
    """The tokens that end an answer, however a config writes them."""
    if tokens is None:
        return set()
    return {tokens} if isinstance(tokens, int) else set(tokens)


def answer_tokens(line: list[int], config: Any) -> tuple[list[int], bool]:
    """The tokens of an answer up to the one that ended it, that one included, and whether one did; what follows it in a
    batch is padding.
    """
    ends = end_tokens(config.eos_token_id)
    fill = {config.pad_token_id} if config.stop_strings is not None else set()
    last = next((place for place, token in enumerate(line) if token in ends | fill), None)
    return (line, False) if last is None else (line[: last + (line[last] in ends)], True)


def has_stop_text(words: Any, ids: Sequence[int], config: Any) -> bool:
    """Whether one of the config's stop strings is in the text of these tokens, special tokens included: some models are
    trained to end with one.
    """
    stops = config.stop_strings
    if not stops:
        return False
    text = words.decode(list(ids))
    return any(stop in text for stop in ([stops] if isinstance(stops, str) else stops))


@contextmanager
def seeded(seed: int | None, device: str, *, draws: bool) -> Iterator[None]:
    """Sampling from this seed, torch's global generator left as it was; with None, from the global generator. Of calls
    that do either one runs at a time, since torch's generator is one for all threads. ``draws``: whether anything is
    sampled where there is no seed.
    """
    if seed is None:
        with _DRAWING if draws else nullcontext():
            yield
        return
    import torch

    devices = [] if device == "cpu" else [torch.device(device).index or 0]
    with _DRAWING, torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def drawing(settings: Settings, device: str, *, own: bool) -> Iterator[None]:
    """What generate() runs in. ``own``: the rows draw from generators of their own where they have a seed, so that
    nobody has to wait; without seeds they draw from torch's, but not while another call has seeded that.
    """
    seed = settings.get("seed") if samples(settings) else None
    with seeded(None if own else seed, device, draws=samples(settings) and seed is None):
        yield
