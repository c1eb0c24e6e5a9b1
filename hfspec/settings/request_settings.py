"""The settings of a request, by the OpenAI API's names, as those of the library's generation."""

from __future__ import annotations

from hfspec.settings import generation
from hfspec.settings.precedence import CHECKPOINT, ORDER, Settings

OWN = ORDER.index(CHECKPOINT) + 1


def generating(settings: Settings) -> Settings:
    """The settings with max_tokens as max_new_tokens, where it comes from no lower layer; whether to sample decided;
    one answer at a time.
    """
    result = settings
    if settings.get("max_tokens") is not None and settings.rank("max_tokens") >= settings.rank("max_new_tokens"):
        result = result.over({"max_new_tokens": settings["max_tokens"]}, settings.origin("max_tokens"))
    own = generation.seed(settings)
    seeded = {} if own == settings.get("seed") else {"seed": own}
    return result.over({"do_sample": samples(settings), "num_return_sequences": 1, **seeded})


def samples(settings: Settings) -> bool:
    """Whether answers are sampled: as do_sample says, unless a higher layer sets the temperature; a temperature above 0
    samples, and so do, where nobody sets it, a top_p below 1 and more than one choice. Settings of the checkpoint
    alone count by its do_sample only.
    """
    heights = {name: settings.rank(name) for name in ("do_sample", "temperature", "top_p", "n")}
    names = {name for name, height in heights.items() if height >= OWN and settings[name] is not None}
    if "do_sample" in names and heights["do_sample"] >= heights["temperature"]:
        return generation.samples(settings)
    if "temperature" in names:
        return bool(settings["temperature"] > 0)
    if ("top_p" in names and settings["top_p"] < 1) or settings.get("n", 1) > 1:
        return True
    return generation.samples(settings)
