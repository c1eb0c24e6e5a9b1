"""The trial of the decoding loop and of its cache: four tokens of two prompts, one of which ends at the second."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from hfspec.formats.generation_config import GIVEN_AWAY
from hfspec.runtime.generation.decoding import Decoder, Decoding, Forced
from hfspec.runtime.loading.request import LoadRequest
from hfspec.runtime.patches.states import State, States, hindrance
from hfspec.runtime.patches.table import DECODING, ROOMY_CACHE
from hfspec.runtime.patches.trial import tried
from hfspec.settings.generation import BEAMS, LENGTHS, SAMPLING

TOKENS = 4
PROMPTS = ([1, 2, 3, 4, 5], [2, 3, 4])
END = 1  # the step at which the second prompt ends


def decoder(request: LoadRequest, model: Any, base: Any) -> tuple[Decoder, States]:
    """The decoder of this model's batches, and the states of both its patches. ``base``: the checkpoint's generation
    config.
    """
    states = _states(request, model, base)
    is_ours, is_roomy = (name in states and states[name].on for name in (DECODING, ROOMY_CACHE))
    return Decoder(model, is_ours=is_ours, is_roomy=is_roomy), states


def _states(request: LoadRequest, model: Any, base: Any) -> dict[str, State]:
    hindered = hindrance(request.patches, DECODING)
    if hindered is None and not Decoder.knows(model):
        hindered = State(on=False, why="Its class has not the steps that the loop calls.")
    if hindered is not None:
        return {DECODING: hindered}
    run = partial(_scores, model, base, request.device)
    plain, roomy = (partial(run, _decoding(request, is_roomy=is_roomy)) for is_roomy in (False, True))
    decoding = tried(DECODING, request.dtype, run, plain)
    if not decoding.on:
        return {DECODING: decoding}
    cache = hindrance(request.patches, ROOMY_CACHE) or tried(ROOMY_CACHE, request.dtype, plain, roomy)
    return {DECODING: decoding, ROOMY_CACHE: cache}


def _decoding(request: LoadRequest, *, is_roomy: bool) -> Callable[..., Any]:
    return Decoding([None] * len(PROMPTS), 1, request.device, is_roomy=is_roomy)


def _scores(model: Any, base: Any, device: str, loop: Callable[..., Any] | None = None) -> list[Any]:
    """The model's scores for each next token of the first prompt, and the answers to both."""
    import torch
    from transformers import LogitsProcessorList

    config = copy.deepcopy(base)
    for name in (*LENGTHS, *SAMPLING, *BEAMS, *GIVEN_AWAY, "stop_strings"):
        setattr(config, name, None)
    size = int(model.config.get_text_config().vocab_size)
    config.update(
        max_new_tokens=TOKENS,
        do_sample=False,
        num_beams=None,
        num_return_sequences=1,
        eos_token_id=size - 1,
        pad_token_id=0,
        use_cache=True,
    )
    forced = Forced(size - 1, END)
    tools: dict[str, Any] = {} if loop is None else {"custom_generate": loop}
    bare = copy.copy(model)
    bare.generation_config = type(
        base
    )()  # generate() takes values that a call leaves out, such as beams, from the model's own
    answers = bare.generate(
        **_inputs(device, size, is_left=not model.config.is_encoder_decoder),
        generation_config=config,
        logits_processor=LogitsProcessorList([forced]),
        **tools,
    )
    return [torch.stack(forced.seen), answers.cpu()]


def _inputs(device: str, size: int, *, is_left: bool) -> dict[str, Any]:
    import torch

    width = max(map(len, PROMPTS))
    rows, masks = [], []
    for prompt in PROMPTS:
        ids, rest = [token % size for token in prompt], [0] * (width - len(prompt))
        rows.append(rest + ids if is_left else ids + rest)
        masks.append(rest + [1] * len(ids) if is_left else [1] * len(ids) + rest)
    return {"input_ids": torch.tensor(rows, device=device), "attention_mask": torch.tensor(masks, device=device)}
