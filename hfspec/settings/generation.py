"""The settings of one call as the library's generation config, and what they mean for batching."""

from __future__ import annotations

import copy
from typing import Any

from hfspec.errors import ParamsError
from hfspec.formats.generation_config import GIVEN_AWAY, neutral, refuse_undone
from hfspec.settings.precedence import HFSPEC_DEFAULT, Settings
from hfspec.tasks import generation
from hfspec.tasks import setting as setting_roles

NAMES = frozenset(setting.name for setting in generation.SETTINGS) - generation.OUR_OWN
COLDEST = 1e-6
NUMBERS = frozenset(setting.name for setting in generation.SETTINGS if "number" in setting.types)
LENGTHS = frozenset({"max_new_tokens", "max_length"})
SAMPLING = frozenset(setting.name for setting in generation.SETTINGS if setting.only_with == setting_roles.SAMPLING)
BEAMS = frozenset(setting.name for setting in generation.SETTINGS if setting.only_with == setting_roles.BEAMS)
IDLE = {setting.name: setting.idle for setting in generation.SETTINGS if setting.reads_prompt}


def apart(model: Any) -> tuple[Any, Any]:
    """(the model over the same weights but without a generation config of its own, the checkpoint's generation config).

    generate() mixes the model's own config back into that of a call, and would then warn of settings that the call has
    left out on purpose. The model given is left as it is, for those who use it by itself.
    """
    base = neutral(copy.deepcopy(model.generation_config))
    bare = copy.copy(model)
    bare.generation_config = copy.deepcopy(base)
    for name in LENGTHS | SAMPLING | BEAMS:
        setattr(bare.generation_config, name, None)
    return bare, base


def own(config: Any) -> dict[str, Any]:
    """The values that the checkpoint's generation config states, by the names of the settings."""
    return {name: value for name, value in config.to_diff_dict().items() if name in NAMES and value is not None}


def answers_per_prompt(settings: Settings) -> int:
    return int(settings.get("num_return_sequences") or 1)


def room_wanted(settings: Settings) -> tuple[int | None, int | None]:
    """(new tokens, total tokens) asked for: one of them is None. The setting from the higher layer holds; in the
    same layer max_new_tokens does, as in transformers.
    """
    if "max_length" in settings and settings.rank("max_length") > settings.rank("max_new_tokens"):
        return None, int(settings["max_length"])
    return int(settings.get("max_new_tokens") or 20), None  # 20 is the library's own


def is_default_room(settings: Settings) -> bool:
    """Whether nobody asked for a number of new tokens, so that fewer will do where there is no room."""
    return settings.origin("max_new_tokens") == HFSPEC_DEFAULT


def reads_prompt(settings: Settings) -> bool:
    """Whether a prompt's own length or tokens matter to more than attention."""
    return any(settings.get(name) not in (None, idle) for name, idle in IDLE.items())


def samples(settings: Settings) -> bool:
    """Whether the next token is drawn; at temperature 0 it is the likeliest."""
    return bool(settings.get("do_sample")) and settings.get("temperature") != 0


def config_for(base: Any, settings: Settings, new_tokens: int, pad: int) -> Any:
    """The generation config of one call; raises ParamsError when the library finds its settings at odds."""
    config = copy.deepcopy(base)
    options = {name: settings[name] for name in NAMES - LENGTHS if name in settings}
    unused = (set() if samples(settings) else SAMPLING) | (BEAMS if (settings.get("num_beams") or 1) == 1 else set())
    for name in (*unused, *LENGTHS, *GIVEN_AWAY):
        setattr(config, name, None)
    values = {name: _number(name, options[name]) for name in options.keys() - unused if options[name] is not None}
    config.update(**{"pad_token_id": pad, **values, "do_sample": samples(settings)}, max_new_tokens=new_tokens)
    return config


def _number(name: str, value: Any) -> Any:
    """The value, of a setting that takes any number as a float: the library refuses a temperature of 2. Logits over a
    temperature below COLDEST are beyond float32, and so are their odds; there the likeliest token has them all.
    """
    number = float(value) if name in NUMBERS and type(value) is int else value
    is_cold = name == "temperature" and type(number) is float and 0 < number < COLDEST
    return COLDEST if is_cold else number


def check(base: Any, settings: Settings) -> None:
    """Raises ParamsError when the library finds the settings at odds with each other."""
    check_answers(settings)
    refuse_undone(_stated(base, settings))
    try:
        config_for(base, settings, new_tokens=1, pad=0).validate()
    except ValueError as error:
        raise ParamsError(f"the generation settings do not go together: {error}") from error


def check_answers(settings: Settings) -> None:
    """Raises ParamsError when more answers are asked for than there are."""
    count = answers_per_prompt(settings)
    if count > max(1, int(settings.get("num_beams") or 1)) and not samples(settings):
        raise ParamsError(
            f"num_return_sequences is {count}, but without sampling or as many beams there is only one answer to give;"
            f" set do_sample: true, or num_beams: {count}."
        )


def seed(settings: Settings) -> int | None:
    """The seed, under hfspec's name for it or the library's: that of the higher layer."""
    seeds = {name: settings.get(name) for name in ("seed", "random_seed")}
    names = [name for name, value in seeds.items() if value is not None and value >= 0]  # -1 is none
    return int(settings[max(names, key=settings.rank)]) if names else None


def _stated(base: Any, settings: Settings) -> Any:
    """The generation config with the settings in force, those included that go unused."""
    config = copy.deepcopy(base)
    for name in ("num_beams", "top_k"):
        setattr(config, name, settings.get(name))
    config.do_sample = samples(settings)
    return config
