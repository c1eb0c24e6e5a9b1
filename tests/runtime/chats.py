"""Conversations as users have them, and what a model says to them when it is called directly, one at a time."""

from __future__ import annotations

from functools import cache

SYSTEM = {"role": "system", "content": "be brief"}
HELLO = [{"role": "user", "content": "hello"}]
CHATS = (
    HELLO,
    [SYSTEM, {"role": "user", "content": "the house on the hill was sold last spring; who bought it?"}],
    [*HELLO, {"role": "assistant", "content": "yes?"}, {"role": "user", "content": "数 ☕ and 'quotes'"}],
    [{"role": "user", "content": "user"}],
    [{"role": "user", "content": "None"}],
    [{"role": "user", "content": ""}],
    HELLO,
)
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@cache
def loaded(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    return AutoModelForCausalLM.from_pretrained(str(folder)), AutoTokenizer.from_pretrained(str(folder))


def prompt_ids(folder, messages, **options):
    """The prompt's tokens, as the library makes them."""
    _, words = loaded(folder)
    made = words.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, **options)
    return list(made["input_ids"])


def said(folder, ids, count=12, seed=None, **settings):
    """The tokens that the model makes after these, greedily, or sampled from a seed."""
    import torch

    model, _ = loaded(folder)
    sampling = {"do_sample": False} if seed is None else {"do_sample": True}
    if seed is not None:
        torch.manual_seed(seed)
    made = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=count,
        **{**sampling, **settings},
    )
    return made[0, len(ids) :].tolist()


def text_of(folder, ids):
    return loaded(folder)[1].decode(ids, skip_special_tokens=True)


def answer(folder, messages, count=12, seed=None, **settings):
    """What the model says to a conversation."""
    return text_of(folder, said(folder, prompt_ids(folder, messages), count, seed, **settings))


def ends_of(folder):
    """The tokens that end an answer."""
    ends = loaded(folder)[0].generation_config.eos_token_id
    return {ends} if isinstance(ends, int) else set(ends)
