"""SPLADE models, in the layouts that published ones have."""

from __future__ import annotations

from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import BERT_SIZES
from tests.checkpoints.embedders import write_json
from tests.checkpoints.writing import write


def entries(kinds: list[tuple[str, str]]) -> list[dict[str, object]]:
    return [
        {"idx": place, "name": str(place), "path": path, "type": f"sentence_transformers.{kind}"}
        for place, (kind, path) in enumerate(kinds)
    ]


def masked_model(folder: Path, seed: int) -> None:
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = vocabulary.wordpiece(128)
    model = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **BERT_SIZES))
    write(folder, model, tokenizer, seed, licence=True, change=modest)


def modest(model: object) -> None:
    """Logits of the size that trained models give, about 1, so that rounding stays far below 1e-5."""
    model.get_output_embeddings().weight.data *= 0.15  # type: ignore[attr-defined]


def splade(folder: Path) -> None:
    """As splade-cocondenser-ensembledistil: the layout of version 5 of the library."""
    masked_model(folder, seed=71)
    kinds = [("sparse_encoder.models.MLMTransformer", ""), ("sparse_encoder.models.SpladePooling", "1_SpladePooling")]
    write_json(folder / "modules.json", entries(kinds))
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 64, "do_lower_case": False})
    pooling = {"pooling_strategy": "max", "activation_function": "relu", "word_embedding_dimension": None}
    write_json(folder / "1_SpladePooling" / "config.json", pooling)
    stated = {"model_type": "SparseEncoder", "prompts": {"query": "", "document": ""}, "similarity_fn_name": "dot"}
    write_json(
        folder / "config_sentence_transformers.json",
        {"__version__": {"sentence_transformers": "5.0.0"}, "default_prompt_name": None, **stated},
    )


def summed(folder: Path) -> None:
    """The layout of version 6, the sum of a double logarithm, prompts, and a limit on active dimensions."""
    masked_model(folder, seed=72)
    kinds = [
        ("base.modules.transformer.Transformer", ""),
        ("sparse_encoder.modules.splade_pooling.SpladePooling", "1_SpladePooling"),
    ]
    write_json(folder / "modules.json", entries(kinds))
    task = {
        "transformer_task": "fill-mask",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "token_embeddings",
    }
    write_json(folder / "sentence_bert_config.json", task)
    pooling = {"pooling_strategy": "sum", "activation_function": "log1p_relu", "embedding_dimension": None}
    write_json(folder / "1_SpladePooling" / "config.json", pooling)
    stated = {"model_type": "SparseEncoder", "max_active_dims": 40, "default_prompt_name": "document"}
    prompts = {"query": "ask: ", "document": "tell: "}
    write_json(folder / "config_sentence_transformers.json", {**stated, "prompts": prompts})


MAKERS = {"splade": splade, "splade-sum": summed}
