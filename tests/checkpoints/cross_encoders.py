"""Cross-encoders, in the layouts that published models have: a classifier alone, and one with modules.json."""

from __future__ import annotations

import json
from pathlib import Path

from tests.checkpoints import vocabulary
from tests.checkpoints.classifiers import BERT_SIZES, bert, labels
from tests.checkpoints.embedders import modules, write_json


def change_json(path: Path, **keys: object) -> None:
    write_json(path, {**json.loads(path.read_text(encoding="utf-8")), **keys})


def msmarco(folder: Path) -> None:
    """As ms-marco-MiniLM-L6-v2: one score without an activation, which config.json says twice."""
    bert(folder, seed=61, **labels(["LABEL_0"]))
    identity = "torch.nn.modules.linear.Identity"
    change_json(
        folder / "config.json",
        sentence_transformers={"activation_fn": identity, "version": "4.1.0.dev0"},
        sbert_ce_default_activation_function=identity,
    )


def with_modules(folder: Path) -> None:
    """As version 6 of the library saves one, with prompts."""
    bert(folder, seed=62, **labels(["LABEL_0"]))
    modules(folder, ["Transformer"])
    task = {
        "transformer_task": "sequence-classification",
        "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}},
        "module_output_name": "scores",
    }
    write_json(folder / "sentence_bert_config.json", {**task, "max_seq_length": 48})
    stated = {"model_type": "CrossEncoder", "activation_fn": "torch.nn.modules.activation.Tanh"}
    prompts = {"prompts": {"web": "search the web: ", "code": "find code: "}, "default_prompt_name": "code"}
    write_json(folder / "config_sentence_transformers.json", {**stated, **prompts})


def nli(folder: Path) -> None:
    """Three labels, and RoBERTa's vocabulary, which has no types of tokens."""
    from transformers import RobertaConfig, RobertaForSequenceClassification

    from tests.checkpoints.writing import write

    tokenizer = vocabulary.roberta(128)
    sizes = {**BERT_SIZES, "max_position_embeddings": 130, "type_vocab_size": 1, "pad_token_id": 1}
    names = labels(["contradiction", "entailment", "neutral"])
    config = RobertaConfig(vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=2, **sizes, **names)
    write(folder, RobertaForSequenceClassification(config), tokenizer, seed=63)


ROLES_TEMPLATE = (
    "{% for message in messages %}{% if message.role == 'system' %}the question is {{ message.content }} "
    "{% elif message.role == 'query' %}query {{ message.content }} {% else %}answer {{ message.content }} {% endif %}"
    "{% endfor %}yes or no [SEP]"
)
PARTS_TEMPLATE = (
    "{% for message in messages %}{{ message.role }} {% for part in message.content %}"
    "{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %} {% endfor %}hello world"
)


def templated(folder: Path, template: str = ROLES_TEMPLATE) -> None:
    """A classifier whose tokenizer renders the roles query and document."""
    bert(folder, seed=64, **labels(["LABEL_0"]))
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")


def templated_by_parts(folder: Path) -> None:
    """As version 6 of the library saves one: the template takes the parts of a content, and there is a prompt."""
    with_modules(folder)
    (folder / "chat_template.jinja").write_text(PARTS_TEMPLATE, encoding="utf-8")
    forward = {"method": "forward", "method_output_name": "logits"}
    modalities = {"text": forward, "message": {**forward, "format": "structured"}}
    change_json(folder / "sentence_bert_config.json", modality_config=modalities)


MAKERS = {
    "ce-msmarco": msmarco,
    "ce-modules": with_modules,
    "ce-nli": nli,
    "ce-template": templated,
    "ce-parts": templated_by_parts,
}
