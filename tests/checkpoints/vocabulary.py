"""Tokenizers for the tiny checkpoints.

WordPiece vocabularies are written by hand, because the trainer's order differs between processes; byte-level BPE is
trained, which is deterministic.
"""

from __future__ import annotations

import string
from functools import cache

WORDS = """
a an the this that it is was not very so and but of in on to for with my your we you i they film movie plot story
actor acting good great fine bad awful terrible wonderful boring love hate like dislike best worst funny sad long
short day weather rain sun man woman child dog cat eats plays food guitar music car road city river quick brown fox
jumps over lazy hello world question answer yes no maybe never always one two three query passage search paris london
""".split()  # noqa: SIM905
SUFFIXES = ["s", "ed", "ing", "er", "est", "ly", "ness", "ful"]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
CORPUS = [
    "the quick brown fox jumps over the lazy dog and the dog sleeps in the sun",
    "a fine film with great acting, a wonderful story and a terrible ending",
    "hello world, this is a short text about the weather in London and in Paris",
    "a man is eating food while a woman is playing the guitar; the child is sad",
    "Translate English to French: how are you today? I am very well, thank you!",
    "def add(a, b):\n    return a + b\n\nprint(add(1, 2))  # 3",
] * 3


def wordpiece_vocabulary() -> list[str]:
    """Every token once, special ones first: words, then single characters, then their ``##`` forms.

    Any lower-case ASCII text splits into these; other scripts become ``[UNK]``.
    """
    characters = [*string.ascii_lowercase, *string.digits]
    tokens = [*SPECIAL, *characters, *string.punctuation, *WORDS]
    tokens += [f"##{piece}" for piece in [*characters, *SUFFIXES]]
    return list(dict.fromkeys(tokens))


def wordpiece(max_length: int):
    """A BERT tokenizer, uncased."""
    from transformers import BertTokenizer

    vocabulary = {token: index for index, token in enumerate(wordpiece_vocabulary())}
    return BertTokenizer(vocab=vocabulary, do_lower_case=True, model_max_length=max_length)


@cache
def bpe(special: tuple[str, ...], size: int = 400) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """A byte-level BPE vocabulary and its merges; the special tokens have the first numbers."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    return model["vocab"], [tuple(merge) for merge in model["merges"]]


def roberta(max_length: int):
    """A RoBERTa tokenizer."""
    from transformers import RobertaTokenizer

    vocabulary, merges = bpe(("<s>", "<pad>", "</s>", "<unk>", "<mask>"))
    return RobertaTokenizer(vocab=dict(vocabulary), merges=list(merges), model_max_length=max_length)


def gpt2(max_length: int):
    """A GPT-2 tokenizer, without a pad token as the real one."""
    from transformers import GPT2Tokenizer

    vocabulary, merges = bpe(("<|endoftext|>",))
    return GPT2Tokenizer(vocab=dict(vocabulary), merges=list(merges), model_max_length=max_length)


def gpt_neox(max_length: int):
    """A GPT-NeoX tokenizer, its end of text also its beginning and unknown token."""
    from transformers import GPTNeoXTokenizer

    vocabulary, merges = bpe(("<|endoftext|>",))
    return GPTNeoXTokenizer(vocab=dict(vocabulary), merges=list(merges), model_max_length=max_length)


CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def llama(max_length: int):
    """A tokenizer as Llama 3 has it: byte-level BPE that puts a BOS before every text, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = ("<s>", "</s>", "<|user|>", "<|assistant|>", "<|system|>")
    vocabulary, merges = bpe(special)
    backend = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=list(special[2:]),
        chat_template=CHAT_TEMPLATE,
        model_max_length=max_length,
    )


CHATML_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{% if messages[0].role == 'system' %}{{ messages[0].content }}\n{% endif %}"
    "# Tools\n{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<|im_end|>\n"
    "{% elif messages[0].role == 'system' %}<|im_start|>system\n{{ messages[0].content }}<|im_end|>\n{% endif %}"
    "{% for message in messages %}{% if message.role not in ['system', 'user', 'assistant', 'tool'] %}"
    "{{ raise_exception('Unexpected role: ' + message.role) }}{% endif %}"
    "{% if not (loop.first and message.role == 'system') %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}{% for call in message.tool_calls or [] %}"
    "<tool_call>{{ call.function.name }} {{ call.function.arguments | tojson }}</tool_call>{% endfor %}<|im_end|>\n"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
PHI3_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% else %}{{ eos_token }}{% endif %}"
)


def chatml(max_length: int):
    """A tokenizer as Qwen 2.5 has it: byte-level BPE, nothing put before a text, a ChatML template with tools."""
    special = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    return _byte_level(
        special, max_length, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML_TEMPLATE
    )


def phi3(max_length: int):
    """A tokenizer with the special tokens and the template of Phi 3."""
    special = ("<unk>", "<s>", "<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>")
    own = {"bos_token": "<s>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "unk_token": "<unk>"}
    return _byte_level(special, max_length, **own, chat_template=PHI3_TEMPLATE)


def _byte_level(special: tuple[str, ...], max_length: int, **own: str):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary, merges = bpe(special)
    backend = Tokenizer(models.BPE(vocab=dict(vocabulary), merges=list(merges)))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    others = [token for token in special if token not in own.values()]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, extra_special_tokens=others, model_max_length=max_length, **own
    )
