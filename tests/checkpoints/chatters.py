"""Causal language models with chat templates, as different checkpoints write them."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.generators import build_gpt2
from tests.checkpoints.writing import write

SIZES = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
}


def qwen_chat(folder: Path) -> None:
    """As Qwen 2.5: ChatML, no token to begin with, a template that takes tools."""
    from transformers import GenerationConfig, Qwen2Config, Qwen2ForCausalLM

    tokenizer = vocabulary.chatml(512)
    end = tokenizer.eos_token_id
    model = Qwen2ForCausalLM(
        Qwen2Config(vocab_size=len(tokenizer), bos_token_id=None, eos_token_id=end, pad_token_id=0, **SIZES)
    )
    model.generation_config = GenerationConfig(eos_token_id=[end, 0], pad_token_id=0, max_new_tokens=12)
    write(folder, model, tokenizer, seed=14)


def phi3_chat(folder: Path) -> None:
    """As Phi 3: a template that ends each turn with its own token, and a pad token that is the end of a text."""
    from transformers import GenerationConfig, Phi3Config, Phi3ForCausalLM

    tokenizer = vocabulary.phi3(512)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = Phi3ForCausalLM(
        Phi3Config(
            vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=False, **ends, **SIZES
        )
    )
    turn = tokenizer.convert_tokens_to_ids("<|end|>")
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=[tokenizer.eos_token_id, turn], max_new_tokens=12
    )
    write(folder, model, tokenizer, seed=15, licence=True)


def dialogpt(folder: Path) -> None:
    """As DialoGPT: a GPT-2 whose template puts an end of text after each turn, and nothing else."""
    build_gpt2(folder, seed=16)
    template = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


MAKERS = {"qwen-chat": qwen_chat, "phi3-chat": phi3_chat, "dialogpt": dialogpt}
