"""A folder that Text Embeddings Inference serves: the model, and the command with the spec's settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from hfspec.export.engines import ENGINES, Options, model_files, refuse, script, shared_reasons, unexpressed
from hfspec.export.facts import Facts
from hfspec.export.writing import Files

EMBEDDINGS = ("feature-extraction", "llm/v1/embeddings")
DTYPES = ("float32", "float16")
# model_type of config.json that TEI 1.9.3 loads (backends/candle/src/lib.rs and src/models), by use.
BERTS = frozenset(["bert", "camembert", "roberta", "xlm-roberta"])
CLASSIFY = BERTS | {"deberta-v2", "distilbert", "modernbert", "gte", "new"}
SPLADE = BERTS | {"distilbert"}
EMBED = CLASSIFY | {"mpnet", "nomic_bert", "qwen2", "qwen3", "mistral", "gemma3_text"}
ANYWAY: Mapping[str, tuple[object, ...]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("batch_tokens", "prompt", "prompt_name", "role", "truncation", "normalize_embeddings", "activation_fn"), ()
        ),
        "precision": (None, "float32"),
        "return_documents": (None, False),
    }
)
REMEDIES = MappingProxyType(
    {
        "top_k": "TEI answers with every label or document",
        "truncate_dim": "callers may give dimensions",
        "precision": "TEI answers in float32",
        "function_to_apply": "TEI has softmax, or sigmoid where the model says so; callers may give raw_scores",
    }
)


def files(facts: Facts, _: Options) -> Files:
    """List the files of the folder.

    Args:
        facts: The artifact's facts.

    Returns:
        Path -> content.

    Raises:
        UsageError: With everything that TEI cannot express.
    """
    refuse("tei", facts, _reasons(facts))
    return {"serve.sh": script(ENGINES["tei"], facts, list(_options(facts))), **model_files(facts)}


def notes(_: Facts, __: Options) -> Iterator[str]:
    """Remarks on the export, each a sentence."""
    yield f"the options are those of TEI {ENGINES['tei'].version}; no TEI runs in hfspec's tests"


def _reasons(facts: Facts) -> Iterator[str]:
    models = _models(facts)
    if not models:
        yield (
            f"task: {facts.manifest.deployment.task} of {facts.task.library}; TEI has embeddings, sparse embeddings,"
            " ranking and text classification"
        )
        return
    kind = str(facts.config.get("model_type"))
    if kind not in models:
        yield f"task: {facts.task.name} by a model of the type {kind}; TEI does it by {', '.join(sorted(models))}"
    yield from shared_reasons(facts)
    if facts.manifest.deployment.computed_dtype not in DTYPES:
        yield f"dtype: {facts.manifest.deployment.computed_dtype}; TEI has {', '.join(DTYPES)}"
    if facts.has_adapter:
        yield "adapter: TEI takes none; `merge: true` in the spec's adapter makes it part of the model"
    if facts.task.name in EMBEDDINGS:
        yield from _embedding_reasons(facts)
    if facts.task.name in {"text-ranking", "text-classification"}:
        yield from _score_reasons(facts)
    yield from unexpressed(facts, _anyway(facts), REMEDIES)


def _models(facts: Facts) -> frozenset[str]:
    """The types of models by which TEI does the task; none for a task that it does not do."""
    of_tasks = {
        ("transformers", "text-classification"): CLASSIFY,
        ("sentence-transformers", "sparse-embedding"): SPLADE,
        ("sentence-transformers", "text-ranking"): CLASSIFY,
        **{("sentence-transformers", name): EMBED for name in EMBEDDINGS},
    }
    return of_tasks.get((facts.task.library, facts.task.name), frozenset())


def _anyway(facts: Facts) -> Mapping[str, tuple[object, ...]]:
    """The values that TEI answers by anyway; ``top_k`` is among them where the spec does not set it."""
    top = facts.settings.get("top_k")
    if top is not None and top.origin == "hfspec default":
        return {**ANYWAY, "top_k": ()}
    return ANYWAY


def _embedding_reasons(facts: Facts) -> Iterator[str]:
    steps = [str(module.get("type", "")).rpartition(".")[2] for module in _modules(facts)]
    unknown = [step for step in steps if step not in {"Transformer", "Pooling", "Dense", "Normalize"}]
    if unknown:
        yield f"modules: {', '.join(unknown)}; TEI has a transformer, pooling, dense layers and normalisation"
    setting = facts.settings.get("normalize_embeddings")
    if "Normalize" not in steps and not (setting is not None and setting.value):
        yield (
            "settings: normalize_embeddings is false, and TEI normalises unless a caller of /embed says otherwise; set"
            " normalize_embeddings: true in model_config"
        )


def _score_reasons(facts: Facts) -> Iterator[str]:
    """TEI's scores are a sigmoid of one logit, and a softmax over several."""
    config, count = facts.config, len(facts.config.get("id2label") or {0: "", 1: ""})
    if facts.task.name == "text-classification":
        kind = config.get("problem_type")
        if kind in {"multi_label_classification", "regression"} or count == 1:
            yield f"scores: problem_type is {kind}, with {count} labels; TEI has softmax over several"
        return
    setting = facts.settings.get("activation_fn")
    own = config.get("sentence_transformers") or {}
    activation = own.get("activation_fn") or config.get("sbert_ce_default_activation_function") or "Sigmoid"
    function = str(setting.value if setting and setting.value else activation).rpartition(".")[2].lower()
    if count != 1 or function != "sigmoid":
        yield f"scores: {function} over {count} labels; TEI ranks by the sigmoid of one"
    if _prompt(facts):
        yield "settings: prompt; TEI ranks texts as they are"
    if "model/chat_template.jinja" in facts.files.records:
        yield "chat template: TEI ranks pairs of texts by the tokenizer's own form"


def _modules(facts: Facts) -> tuple[Mapping[str, Any], ...]:
    modules = facts.files.value("model/modules.json")
    return tuple(modules) if isinstance(modules, tuple | list) else ()


def _options(facts: Facts) -> Iterator[tuple[str, str | None]]:
    yield "--model-id", "./model"
    yield "--served-model-name", facts.name
    yield "--dtype", facts.manifest.deployment.computed_dtype
    if facts.task.name == "sparse-embedding":
        yield "--pooling", "splade"
    yield "--auto-truncate", "true" if _truncates(facts) else "false"
    prompt = _prompt(facts)
    if prompt:
        yield "--default-prompt", prompt
    rows = (facts.manifest.serving.get("limits") or {}).get("rows")
    if rows is not None:
        yield "--max-client-batch-size", str(rows)


def _truncates(facts: Facts) -> bool:
    """Tasks without a setting for it always cut what is too long; others where the spec says so."""
    setting = facts.settings.get("truncation")
    return facts.task.setting("truncation") is None or bool(setting is not None and setting.value)


def _prompt(facts: Facts) -> str:
    """The text that the spec puts in front of each input."""
    values = {name: facts.settings[name].value for name in ("prompt", "prompt_name", "role") if name in facts.settings}
    if values.get("prompt"):
        return str(values["prompt"])
    config = facts.files.json("model/config_sentence_transformers.json")
    name = values.get("prompt_name") or values.get("role") or config.get("default_prompt_name")
    return str((config.get("prompts") or {}).get(name) or "")
