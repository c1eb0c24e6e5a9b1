"""Which library and task a checkpoint was made for, as far as its files say, and the file that says it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hfspec.checkpoint.card import FRONT_MATTER
from hfspec.formats.vocabulary_files import VOCABULARIES
from hfspec.tasks.table import find

TRANSFORMERS, SENTENCES = "transformers", "sentence-transformers"
CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json")
# The last words of an architecture's name -> the task; the first row that fits counts.
ARCHITECTURES = (
    (r"ForTableQuestionAnswering|^TapasForQuestionAnswering", "table-question-answering"),
    (r"ForQuestionAnswering", "question-answering"),
    (
        r"^(Wav2Vec2|Hubert|WavLM|UniSpeech\w*|SEW\w*|AST|Whisper|Data2VecAudio)\w*For(Sequence|Audio)Classification",
        "audio-classification",
    ),
    (r"ForAudioClassification", "audio-classification"),
    (r"ForSequenceClassification", "text-classification"),
    (r"ForTokenClassification", "token-classification"),
    (r"ForImageClassification", "image-classification"),
    (r"ForMaskedLM", "fill-mask"),
    (r"ForCTC|ForSpeechSeq2Seq|^WhisperFor|^Speech2Text", "automatic-speech-recognition"),
    (r"^(Marian|M2M100|MBart)", "translation"),
    (r"^(Bart|Pegasus\w*|Led|LED|BigBirdPegasus)ForConditionalGeneration", "summarization"),
    (r"ForConditionalGeneration", "text2text-generation"),
    (r"ForCausalLM|LMHeadModel", "text-generation"),
    (r"Model$", "feature-extraction"),
)
ADAPTED = {
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
    "CAUSAL_LM": "text-generation",
    "SEQ_2_SEQ_LM": "text2text-generation",
    "QUESTION_ANS": "question-answering",
    "FEATURE_EXTRACTION": "feature-extraction",
}
SENTENCE_MODELS = {
    "SentenceTransformer": "feature-extraction",
    "CrossEncoder": "text-ranking",
    "SparseEncoder": "sparse-embedding",
}
SENTENCE_FILES = frozenset({"modules.json", "config_sentence_transformers.json"})
CARD_TASK = re.compile(r"^pipeline_tag:[ \t]*[\"']?([\w-]+)", re.MULTILINE)
NO_TOKENIZER = (
    "It has no tokenizer, which the task needs: save the model's own beside it, or name its source under"
    " components.tokenizer."
)
Read = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Inferred:
    """The purpose of a checkpoint. ``task`` is empty where its files do not say; ``base``: of an adapter, the model
    that it was trained on, and ``base_revision`` its revision, where stated; ``hints``: comments for the spec.
    """

    task: str
    reason: str
    library: str = TRANSFORMERS
    base: str = ""
    base_revision: str = ""
    hints: tuple[str, ...] = field(default=())


def infer(names: Collection[str], read: Read) -> Inferred:
    """Tell what a checkpoint is for.

    Args:
        names: The paths of its files.
        read: The text of one of them.

    Returns:
        The library and task, with the reason; the task is empty where nothing says it.
    """
    sentences = _sentences(names, read) if not SENTENCE_FILES.isdisjoint(names) else None
    if "adapter_config.json" in names:
        return _adapter(_object(read("adapter_config.json")), sentences)
    if sentences is not None:
        return sentences
    if "config.json" not in names:
        return Inferred("", "there is no config.json")
    config = _object(read("config.json"))
    architectures = config.get("architectures")
    architecture = str(architectures[0]) if isinstance(architectures, list) and architectures else ""
    if _is_reranker(config, architecture):
        reason = f"config.json names {architecture} with one score and sentence_transformers: a cross-encoder"
        return Inferred("text-ranking", reason, SENTENCES)
    task = next((task for pattern, task in ARCHITECTURES if re.search(pattern, architecture)), "")
    reason = (
        f"config.json names the architecture {architecture}" if architecture else "config.json names no architecture"
    )
    if task == "text-generation" and _has_chat_template(names, read):
        return Inferred("llm/v1/chat", f"{reason}, and its tokenizer has a chat template")
    hints = (*_hints(config, task), *_lacking(names, task))
    return _with_card(Inferred(task, reason, hints=hints), names, read)


def _adapter(config: Mapping[str, Any], sentences: Inferred | None) -> Inferred:
    """The purpose of an adapter: as the files of sentence-transformers beside it say, or else its config."""
    kind = str(config.get("task_type") or "")
    reason = f"adapter_config.json has the task_type {kind}" if kind else "adapter_config.json has no task_type"
    base, revision = str(config.get("base_model_name_or_path") or ""), str(config.get("revision") or "")
    inferred = sentences or Inferred(ADAPTED.get(kind, ""), reason)
    return replace(inferred, base=base, base_revision=revision)


def _sentences(names: Collection[str], read: Read) -> Inferred:
    file = "config_sentence_transformers.json"
    kind = str(_object(read(file)).get("model_type") or "") if file in names else ""
    if kind in SENTENCE_MODELS:
        return Inferred(SENTENCE_MODELS[kind], f"{file} has the model_type {kind}", SENTENCES)
    modules = read("modules.json") if "modules.json" in names else ""
    if "SpladePooling" in modules or "sparse_encoder" in modules:
        return Inferred("sparse-embedding", "modules.json names modules of a SparseEncoder", SENTENCES)
    return Inferred("feature-extraction", "modules.json makes it a SentenceTransformer", SENTENCES)


def _is_reranker(config: Mapping[str, Any], architecture: str) -> bool:
    labels = config.get("id2label")
    one = len(labels) == 1 if isinstance(labels, Mapping) else config.get("num_labels") == 1
    return architecture.endswith("ForSequenceClassification") and one and "sentence_transformers" in config


def _has_chat_template(names: Collection[str], read: Read) -> bool:
    if any(name in names for name in CHAT_TEMPLATES):
        return True
    return "tokenizer_config.json" in names and bool(_object(read("tokenizer_config.json")).get("chat_template"))


def _with_card(inferred: Inferred, names: Collection[str], read: Read) -> Inferred:
    """The card's pipeline_tag decides where the architecture serves several tasks."""
    front = FRONT_MATTER.match(read("README.md")) if "README.md" in names else None
    tag = CARD_TASK.search(front.group(1)) if front else None
    task, architectural = find(TRANSFORMERS, tag[1]) if tag else None, find(TRANSFORMERS, inferred.task)
    if tag is None or task is None or tag[1] == inferred.task:
        return inferred
    if architectural is not None and task.auto_class != architectural.auto_class:
        return inferred
    return Inferred(tag[1], f"{inferred.reason}, and README.md has the pipeline_tag {tag[1]}", hints=inferred.hints)


def _hints(config: Mapping[str, Any], task: str) -> tuple[str, ...]:
    labels = config.get("id2label")
    names = [str(name) for name in labels.values()] if isinstance(labels, Mapping) else []
    if not task.endswith("-classification") or not names:
        return ()
    if any("entail" in name.lower() for name in names):
        return ("Its labels are those of entailment: `task: zero-shot-classification` would do as well.",)
    if all(re.fullmatch(r"LABEL_\d+", name) for name in names):
        return ("Its labels have no names (LABEL_0, …): name them in the checkpoint's config.json.",)
    return (f"Its labels: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}.",)


def _lacking(names: Collection[str], task: str) -> tuple[str, ...]:
    """A Trainer that was given no tokenizer saves none."""
    row = find(TRANSFORMERS, task)
    needs = row is not None and "tokenizer" in row.components
    return (NO_TOKENIZER,) if needs and {*VOCABULARIES, "tokenizer_config.json"}.isdisjoint(names) else ()


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
