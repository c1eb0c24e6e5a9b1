"""PEFT adapters over the tiny checkpoints: every tensor random, so that each of them changes the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.checkpoints import quiet


def adapt(
    base: Path, folder: Path, model_class: str, config: Any, *, seed: int = 1, dtype: str = "float32", **settings: Any
) -> Path:
    """An adapter with this config of peft for the checkpoint in ``base``, written into ``folder``; ``settings`` are the
    model class's own, such as num_labels.
    """
    import torch
    import transformers
    from peft import get_peft_model

    with quiet(), torch.random.fork_rng():
        torch.manual_seed(seed)
        loaded = getattr(transformers, model_class).from_pretrained(
            base, dtype=getattr(torch, dtype), ignore_mismatched_sizes=True, **settings
        )
        model = get_peft_model(loaded, config)
        for name, tensor in sorted(model.named_parameters()):
            if tensor.requires_grad:
                tensor.data = torch.randn(tensor.shape).to(tensor.dtype) * 0.3 + (1 if "ia3" in name else 0)
        model.save_pretrained(folder)
    sort_sets(folder / "adapter_config.json")
    return folder


def sort_sets(path: Path) -> None:
    """peft writes the modules in the order of a set, which differs from process to process."""
    config = json.loads(path.read_text(encoding="utf-8"))
    for key, value in config.items():
        if key.endswith("_modules") or key == "modules_to_save":
            config[key] = sorted(value) if isinstance(value, list) else value
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _lora(kind: str | None, **settings: Any) -> Any:
    from peft import LoraConfig

    return LoraConfig(**{"task_type": kind, "r": 4, "lora_alpha": 8, "lora_dropout": 0.1, **settings})


def _config(name: str, kind: str | None, **settings: Any) -> Any:
    import peft

    return getattr(peft, name)(task_type=kind, **settings)


# Adapter -> checkpoint, model class, what makes peft's config, settings of the model class.
ADAPTERS: dict[str, tuple[str, str, Callable[[], Any], dict[str, Any]]] = {
    "gpt2-lora": (
        "gpt2",
        "GPT2LMHeadModel",
        lambda: _lora("CAUSAL_LM", target_modules=["c_attn", "c_proj"], fan_in_fan_out=True, bias="lora_only"),
        {},
    ),
    "gpt2-prompt": ("gpt2", "GPT2LMHeadModel", lambda: _config("PromptTuningConfig", "CAUSAL_LM", **EIGHT), {}),
    "gpt2-prefix": ("gpt2", "GPT2LMHeadModel", lambda: _config("PrefixTuningConfig", "CAUSAL_LM", **EIGHT), {}),
    "gpt2-ptuning": (
        "gpt2",
        "GPT2LMHeadModel",
        lambda: _config("PromptEncoderConfig", "CAUSAL_LM", encoder_hidden_size=16, **EIGHT),
        {},
    ),
    "llama-dora": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _lora(
            "CAUSAL_LM",
            target_modules=["q_proj", "v_proj", "down_proj"],
            use_dora=True,
            use_rslora=True,
            rank_pattern={"down_proj": 2},
            alpha_pattern={"v_proj": 32},
        ),
        {},
    ),
    "llama-ia3": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _config(
            "IA3Config",
            "CAUSAL_LM",
            target_modules=["k_proj", "v_proj", "down_proj"],
            feedforward_modules=["down_proj"],
        ),
        {},
    ),
    "llama-adalora": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _config("AdaLoraConfig", "CAUSAL_LM", target_modules=["q_proj", "v_proj"], total_step=10),
        {},
    ),
    "llama-loha": ("llama-chat", "LlamaForCausalLM", lambda: _config("LoHaConfig", "CAUSAL_LM", **PROJECTIONS), {}),
    "llama-lokr": ("llama-chat", "LlamaForCausalLM", lambda: _config("LoKrConfig", "CAUSAL_LM", **PROJECTIONS), {}),
    "llama-oft": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _config("OFTConfig", "CAUSAL_LM", r=0, oft_block_size=8, **SQUARE),
        {},
    ),
    "llama-vera": ("llama-chat", "LlamaForCausalLM", lambda: _config("VeraConfig", "CAUSAL_LM", r=4, **SQUARE), {}),
    # Its places are drawn by no seed when it is made, and saved.
    "llama-shira": ("llama-chat", "LlamaForCausalLM", lambda: _config("ShiraConfig", "CAUSAL_LM", r=2, **SQUARE), {}),
    "llama-replicated": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _lora("CAUSAL_LM", target_modules=["q_proj", "v_proj"], layer_replication=[[0, 2], [0, 2]]),
        {},
    ),
    "llama-vblora": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _config(
            "VBLoRAConfig",
            "CAUSAL_LM",
            r=4,
            num_vectors=16,
            vector_length=8,
            topk=2,
            save_only_topk_weights=True,
            **SQUARE,
        ),
        {},
    ),
    "llama-tokens": (
        "llama-chat",
        "LlamaForCausalLM",
        lambda: _config("TrainableTokensConfig", "CAUSAL_LM", token_indices=list(range(20, 160))),
        {},
    ),
    "t5-lora": ("t5", "T5ForConditionalGeneration", lambda: _lora("SEQ_2_SEQ_LM", target_modules=["q", "v", "wo"]), {}),
    "t5-prompt": (
        "t5",
        "T5ForConditionalGeneration",
        lambda: _config("PromptTuningConfig", "SEQ_2_SEQ_LM", num_virtual_tokens=8),
        {},
    ),
    "bart-prefix": (
        "bart",
        "BartForConditionalGeneration",
        # peft counts the layers of the encoder, of which this one has fewer
        lambda: _config("PrefixTuningConfig", "SEQ_2_SEQ_LM", num_virtual_tokens=8, num_layers=2),
        {},
    ),
    "sentiment-lora": (
        "bert-sentiment",
        "DistilBertForSequenceClassification",
        lambda: _lora("SEQ_CLS", target_modules=["q_lin", "v_lin"], modules_to_save=["pre_classifier"]),
        {},
    ),
    "toxic-prompt": (
        "bert-toxic",
        "BertForSequenceClassification",
        lambda: _config("PromptTuningConfig", "SEQ_CLS", num_virtual_tokens=6),
        {},
    ),
    "topics-lora": (
        "bert-mlm",
        "BertForSequenceClassification",
        lambda: _lora("SEQ_CLS", target_modules=["query", "value"], modules_to_save=["pooler"]),
        {"num_labels": 5},
    ),
    "ner-lora": (
        "bert-ner",
        "BertForTokenClassification",
        lambda: _lora("TOKEN_CLS", target_modules=["query", "value"]),
        {},
    ),
    "squad-lora": (
        "distilbert-squad",
        "DistilBertForQuestionAnswering",
        lambda: _lora("QUESTION_ANS", target_modules=["q_lin", "v_lin"]),
        {},
    ),
    "mlm-lora": ("roberta-mlm", "RobertaForMaskedLM", lambda: _lora(None, target_modules=["query", "value"]), {}),
    "mlm-tied-lora": ("roberta-mlm", "RobertaForMaskedLM", lambda: _lora(None, target_modules=["word_embeddings"]), {}),
    "features-lora": (
        "minilm-like",
        "BertModel",
        lambda: _lora("FEATURE_EXTRACTION", target_modules=["query", "value"]),
        {},
    ),
    "whisper-lora": (
        "whisper",
        "WhisperForConditionalGeneration",
        lambda: _lora(None, target_modules=["q_proj", "v_proj"]),
        {},
    ),
    "ctc-lora": ("wav2vec2-ctc", "Wav2Vec2ForCTC", lambda: _lora(None, target_modules=["q_proj", "v_proj"]), {}),
    "vit-lora": ("vit", "ViTForImageClassification", lambda: _lora(None, target_modules="all-linear"), {}),
}
EIGHT: dict[str, Any] = {"num_virtual_tokens": 8}
PROJECTIONS: dict[str, Any] = {"r": 4, "target_modules": ["q_proj", "o_proj", "up_proj"]}
SQUARE: dict[str, Any] = {"target_modules": ["q_proj", "o_proj"]}


def make_adapter(name: str, base: Path, folder: Path) -> Path:
    """The adapter of this name for its checkpoint, which lies in ``base``."""
    _, model_class, config, settings = ADAPTERS[name]
    return adapt(base, folder, model_class, config(), **settings)
