"""The words that fit a text's masked places."""

from __future__ import annotations

from hfspec.ir.frozen import FrozenDict
from hfspec.ir.signature import Column
from hfspec.tasks import answer_fields
from hfspec.tasks.setting import Setting
from hfspec.tasks.task import LANGUAGE_HEAD, Task
from hfspec.tasks.text import BATCH_TOKENS, TRUNCATION

TASK = Task(
    name="fill-mask",
    library="transformers",
    summary="The likeliest tokens for each mask in a text.",
    inputs=(Column("string", "text"),),
    outputs=(Column("string"),),
    output_words="list[str], one a text: the best token for its mask, without white space around it; of a text with"
    " several masks the best token for each, joined by a space",
    full_words="list of dicts: masks, for each mask a list of top_k candidates (score, token, token_str, sequence), and"
    " the token count",
    auto_class="AutoModelForMaskedLM",
    head=LANGUAGE_HEAD,
    prompt=True,
    trial_row=FrozenDict(dict.fromkeys(("text", "prompt"), "One {mask_token} text.")),
    settings=(
        Setting("top_k", ("integer",), "How many candidates to give for each mask, best first.", minimum=1, default=5),
        Setting(
            "targets",
            ("string", "array"),
            "Choose among these words only; each must be one token of the model's vocabulary.",
            items="string",
        ),
        TRUNCATION,
        # Each token's logits are as many as the vocabulary: a batch of these is 200 MB for 50,000 words.
        BATCH_TOKENS,
    ),
    full=(
        answer_fields.many(
            answer_fields.objects(
                "masks",
                answer_fields.SCORE,
                *answer_fields.counts("token"),
                *answer_fields.texts("token_str", "sequence"),
            )
        ),
        *answer_fields.counts("tokens"),
    ),
    runner="hfspec.runtime.text.fill_mask:FillMask",
)
