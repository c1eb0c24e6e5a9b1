"""Causal language models."""

from __future__ import annotations

import json
from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.writing import write


def build_gpt2(folder: Path, seed: int, **save: object) -> None:
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel

    tokenizer = vocabulary.gpt2(256)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=256,
            n_embd=32,
            n_layer=2,
            n_head=4,
            bos_token_id=0,
            eos_token_id=0,
            # The real GPT-2 says so too; pipelines read it.
            task_specific_params={"text-generation": {"do_sample": True, "max_length": 50}},
        )
    )
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0, max_new_tokens=12, do_sample=False)
    write(folder, model, tokenizer, seed, **save)


def gpt2(folder: Path) -> None:
    build_gpt2(folder, seed=11)


def gpt2_sharded(folder: Path) -> None:
    build_gpt2(folder, seed=12, max_shard_size="80KB")


def llama_chat(folder: Path) -> None:
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = vocabulary.llama(256)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, max_new_tokens=12
    )
    write(folder, model, tokenizer, seed=13)


def dolly(folder: Path) -> None:
    """GPT-NeoX trained on instructions, with the marks of its format as tokens and no mark in its generation config."""
    from transformers import GenerationConfig, GPTNeoXConfig, GPTNeoXForCausalLM

    tokenizer = vocabulary.gpt_neox(2048)
    tokenizer.add_special_tokens({"additional_special_tokens": ["### End", "### Instruction:", "### Response:\n"]})
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
        bos_token_id=0,
        eos_token_id=0,
        # The real one names code of its own here, which nothing in hfspec runs.
        custom_pipelines={"text-generation": {"impl": "instruct_pipeline.InstructionTextGenerationPipeline"}},
    )
    model = GPTNeoXForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0)
    write(folder, model, tokenizer, seed=14, licence=True)


def opt(folder: Path) -> None:
    """As OPT-350m: embeddings narrower than the layers, norms after them."""
    from transformers import GenerationConfig, OPTConfig, OPTForCausalLM

    tokenizer = vocabulary.gpt2(256)
    config = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=OPT_SIZE,
        word_embed_proj_dim=16,
        ffn_dim=64,
        num_hidden_layers=OPT_LAYERS,
        num_attention_heads=4,
        max_position_embeddings=256,
        do_layer_norm_before=False,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=1,
    )
    model = OPTForCausalLM(config)
    model.generation_config = GenerationConfig(bos_token_id=0, eos_token_id=0, pad_token_id=1)
    write(folder, model, tokenizer, seed=15, licence=True)


def opt_lora(folder: Path) -> None:
    """An adapter for it, written as peft writes one."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(16)
    places = [f"{layer}.self_attn.{name}" for layer in range(OPT_LAYERS) for name in ("q_proj", "v_proj")]
    shapes = {"lora_A": (4, OPT_SIZE), "lora_B": (OPT_SIZE, 4)}
    tensors = {
        f"base_model.model.model.decoder.layers.{place}.{part}.weight": torch.randn(shape, generator=generator)
        for place in places
        for part, shape in shapes.items()
    }
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "facebook/opt-350m"}
    config |= {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


OPT_SIZE, OPT_LAYERS = 32, 2
MAKERS = {
    "gpt2": gpt2,
    "gpt2-sharded": gpt2_sharded,
    "llama-chat": llama_chat,
    "dolly": dolly,
    "opt": opt,
    "opt-lora": opt_lora,
}
