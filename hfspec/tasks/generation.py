"""The library's generation settings, by name and type.

The names and types are those of transformers.GenerationConfig
(https://huggingface.co/docs/transformers/main_classes/text_generation); a test compares them with the installed one.
What makes no sense in a declared deployment (assistant models, watermarking, callbacks, raw tensor outputs) is left
out.
"""

from __future__ import annotations

from typing import Any

from hfspec.tasks.setting import BEAMS, SAMPLING, Setting


def _count(name: str, description: str, minimum: float = 0, **role: Any) -> Setting:
    return Setting(name, ("integer",), description, minimum=minimum, **role)


def _flag(name: str, description: str) -> Setting:
    return Setting(name, ("boolean",), description)


def _share(name: str, description: str, *, above: float | None = None) -> Setting:
    """A probability that sampling alone reads."""
    minimum = 0 if above is None else None
    return Setting(name, ("number",), description, minimum=minimum, above=above, maximum=1, only_with=SAMPLING)


def _token(name: str, description: str) -> Setting:
    return Setting(name, ("integer",), description, minimum=0)


LENGTH = (
    Setting("max_new_tokens", ("integer",), "How many tokens to generate at most.", minimum=1, default=256),
    _count("max_length", "How long prompt and answer may be together, in tokens.", 1),
    _count("min_new_tokens", "How many tokens to generate at least."),
    _count("min_length", "How long prompt and answer must be together, in tokens.", reads_prompt=True, idle=0),
    Setting(
        "early_stopping",
        ("boolean", "string"),
        "When beam search stops: true, false or 'never'.",
        choices=(True, False, "never"),
        only_with=BEAMS,
    ),
    Setting("max_time", ("number",), "How many seconds generation may take.", above=0),
    Setting("stop_strings", ("string", "array"), "Text that ends the answer.", items="string", reads_prompt=True),
)
FULL_WORDS = "list of dicts: text, prompt, prompt_tokens, completion_tokens, finish_reason"
BEAMS_WORDS, ANSWERS_WORDS = "How many beams to search; 1 for none.", "How many answers to give for each prompt."
STRATEGY = (
    _flag("do_sample", "Sample instead of taking the likeliest token."),
    _count("num_beams", BEAMS_WORDS, 1),
    Setting("num_return_sequences", ("integer",), ANSWERS_WORDS, minimum=1),
    _flag("use_cache", "Keep past keys and values, for speed."),
)
LOGITS = (
    Setting(
        "temperature", ("number",), "How even sampling makes the odds; 1 leaves them.", above=0, only_with=SAMPLING
    ),
    _count("top_k", "Sample among this many likeliest tokens; 0 for all.", only_with=SAMPLING),
    _share("top_p", "Sample among the likeliest tokens of this total probability.", above=0),
    _share("min_p", "Leave out tokens below this share of the best one's odds."),
    _share("typical_p", "Sample among the most typical tokens of this mass.", above=0),
    _share("epsilon_cutoff", "Leave out tokens below this probability."),
    _share("eta_cutoff", "Leave out tokens by eta sampling."),
    Setting(
        "repetition_penalty",
        ("number",),
        "Divide the odds of tokens already there; 1 for none.",
        above=0,
        reads_prompt=True,
        idle=1.0,
    ),
    Setting("length_penalty", ("number",), "How beam search weighs length.", only_with=BEAMS),
    Setting(
        "encoder_repetition_penalty",
        ("number",),
        "Penalty for tokens that are not in the prompt.",
        above=0,
        reads_prompt=True,
        idle=1.0,
    ),
    _count(
        "no_repeat_ngram_size",
        "Sequences of this many tokens occur once only; 0 for any.",
        reads_prompt=True,
        idle=0,
    ),
    _count(
        "encoder_no_repeat_ngram_size", "The same, counting those of the encoder's input.", reads_prompt=True, idle=0
    ),
    _flag("remove_invalid_values", "Mend nan and inf in the logits."),
    _flag("renormalize_logits", "Normalise the logits after all processors."),
    Setting("suppress_tokens", ("array",), "Token ids never to generate.", items="integer"),
    Setting("begin_suppress_tokens", ("array",), "Token ids never to begin with.", items="integer"),
    Setting("bad_words_ids", ("array",), "Lists of token ids never to generate.", items="array", reads_prompt=True),
    Setting(
        "exponential_decay_length_penalty",
        ("array",),
        "[start, factor]: favour an end after start tokens.",
        items="number",
    ),
    Setting(
        "guidance_scale", ("number",), "Classifier-free guidance; 1 for none.", minimum=1, reads_prompt=True, idle=1
    ),
)
TOKENS = (
    _token("pad_token_id", "The padding token."),
    _token("bos_token_id", "The token that begins a sequence."),
    Setting("eos_token_id", ("integer", "array"), "The token, or tokens, that end a sequence.", items="integer"),
    _token("decoder_start_token_id", "The token that an encoder-decoder model begins its answer with."),
    _token("forced_bos_token_id", "The token forced after the first one."),
    Setting("forced_eos_token_id", ("integer", "array"), "The token forced at max_length.", items="integer"),
)
SEED = Setting(
    "seed",
    ("integer",),
    "Sampling begins from this seed for each row, so that an answer can be repeated.",
    minimum=0,
    maximum=2**63 - 1,
)
SETTINGS = (*LENGTH, *STRATEGY, *LOGITS, *TOKENS, SEED)
OUR_OWN = frozenset({"seed"})
