"""Text Embeddings Inference: /embed, /embed_sparse, /predict, /similarity and /info.

https://huggingface.github.io/text-embeddings-inference
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
from starlette.responses import Response

import hfspec
from hfspec.serving.front.app import Endpoint
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, to_json
from hfspec.serving.front.model import Model
from hfspec.tasks.table import find

EMBEDDING = frozenset({"feature-extraction", "llm/v1/embeddings"})
SPARSE = frozenset({"sparse-embedding"})
PREDICTING = frozenset({"text-classification", "text-ranking"})
ALL = EMBEDDING | SPARSE | PREDICTING
TEXT_KEYS = frozenset({"inputs", "truncate", "truncation_direction", "prompt_name", "normalize", "dimensions"})
SPARSE_KEYS = frozenset({"inputs", "truncate", "truncation_direction", "prompt_name"})
PREDICT_KEYS = frozenset({"inputs", "truncate", "truncation_direction", "raw_scores", "parameters"})
LABEL_KEYS = frozenset({"function_to_apply", "top_k"})  # parameters of the Inference API
SIMILARITY_KEYS = frozenset({"inputs", "parameters"})
# Status -> TEI's name of the error.
KINDS = {413: "Validation", 429: "Overloaded", 503: "Unhealthy", 401: "Unauthorized", 403: "Unauthorized"}


def tei_error(error: RequestError, _: Exchange) -> Response:
    """An error in TEI's form; a request that cannot be understood has status 422 there."""
    kind = (
        "Empty" if error.kind == "Empty" else KINDS.get(error.status, "Validation" if error.status < 500 else "Backend")
    )
    status = 422 if error.status == 400 and kind == "Validation" else error.status
    return to_json({"error": error.text, "error_type": kind}, status)


def refuse_unknown(body: Mapping[str, Any], keys: Collection[str]) -> None:
    """Raises RequestError for a key that is not one of ``keys``."""
    for key in body:
        if key not in keys:
            names = ", ".join(sorted(keys))
            raise RequestError(400, f"{key[:80]}: there is no such key; the keys are: {names}.", "InputError")


def flag(body: Mapping[str, Any], key: str) -> bool | None:
    """The value of a key that is true or false; None where it is missing; raises RequestError for anything else."""
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise RequestError(400, f"{key}: expected true or false; found {value!r}.", "InputError")
    return value


def refuse_cut(answers: Iterable[Mapping[str, Any]]) -> None:
    """Raises RequestError where a text was cut."""
    if any(answer.get("truncated") for answer in answers):
        message = "a text has more tokens than the model reads; set truncate to have it cut."
        raise RequestError(413, message, "Validation")


def truncation(body: Mapping[str, Any]) -> bool:
    """Whether texts that are too long are cut, which they are unless the request says no; raises RequestError."""
    value = flag(body, "truncate")
    if str(body.get("truncation_direction") or "right").lower() != "right":
        raise RequestError(400, "truncation_direction: texts are cut at the right only.", "InputError")
    return value is not False


async def embed(exchange: Exchange) -> Response:
    """The embedding of each text."""
    body = await exchange.json_object()
    refuse_unknown(body, TEXT_KEYS | {"encoding_format"})
    if body.get("encoding_format") not in (None, "float"):
        raise RequestError(400, "encoding_format: embeddings are given as float only.", "InputError")
    model = exchange.only(EMBEDDING)
    answers = await _embedded(exchange, model, _inputs(body), body)
    return to_json([row["embedding"] for row in answers])


async def _embedded(
    exchange: Exchange, model: Model, texts: list[str], body: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The full answer to each text, with its embedding; raises RequestError."""
    normalize = flag(body, "normalize")
    settings = {"normalize_embeddings": normalize is not False}
    names = {"prompt_name": "prompt_name", "dimensions": "truncate_dim"}
    settings |= {setting: body[key] for key, setting in names.items() if body.get(key) is not None}
    cuts = truncation(body)
    data: Any = texts
    if model.task == "llm/v1/embeddings":
        data = {"input": texts}
        task = find(model.manifest.deployment.library, model.task)
        if task is not None and task.setting("truncation") is not None:
            settings["truncation"] = cuts
    return _whole(await _asked(exchange, model, data, len(texts), settings), cuts=cuts)


async def embed_sparse(exchange: Exchange) -> Response:
    """The sparse embedding of each text."""
    body = await exchange.json_object()
    refuse_unknown(body, SPARSE_KEYS)
    model, texts, cuts = exchange.only(SPARSE), _inputs(body), truncation(body)
    settings = {name: body[name] for name in ("prompt_name",) if body.get(name) is not None}
    answers = _whole(await _asked(exchange, model, texts, len(texts), settings), cuts=cuts)
    return to_json([_sparse(row) for row in answers])


def _sparse(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    pairs = zip(row["indices"].tolist(), row["values"].tolist(), strict=True)
    return [{"index": index, "value": value} for index, value in pairs]


async def predict(exchange: Exchange) -> Response:
    """The labels of a text, or of a pair of texts, with their scores; of several, a list each."""
    body = await exchange.json_object()
    refuse_unknown(body, PREDICT_KEYS)
    raw = flag(body, "raw_scores")
    model, cuts = exchange.only(PREDICTING), truncation(body)
    rows, single = _sequences(body.get("inputs"))
    is_ranking = model.task == "text-ranking"
    labels = _label_parameters(body, frozenset() if is_ranking else LABEL_KEYS)
    if is_ranking:
        settings: dict[str, Any] = {"activation_fn": "identity" if raw else "sigmoid"}
    else:
        function = "none" if raw else labels.get("function_to_apply")
        settings = {"truncation": cuts, **({"function_to_apply": function} if function else {})}
    answers = _whole(await _asked(exchange, model, rows, len(rows), settings), cuts=cuts)
    labelled = [_labelled(row)[: labels.get("top_k")] for row in answers]
    return to_json(labelled[0] if single and body.get("parameters") is None else labelled)


def _label_parameters(body: Mapping[str, Any], keys: Collection[str]) -> Mapping[str, Any]:
    """The parameters by which the Inference API asks for labels; every text then has a list. Raises RequestError."""
    parameters = body.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise _no_parameters()
    refuse_unknown(parameters, keys)
    most = parameters.get("top_k")
    if most is not None and (type(most) is not int or most < 1):
        raise RequestError(400, f"top_k: expected a number of labels, at least 1; found {most!r}.", "InputError")
    return parameters


def _labelled(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Labels and scores, best first."""
    scores = row["scores"] if "scores" in row else [row["score"]]
    labels = row.get("labels") or ["LABEL_0"]
    pairs = [{"label": label, "score": float(score)} for label, score in zip(labels, scores, strict=True)]
    return sorted(pairs, key=lambda pair: -pair["score"])


def _sequences(value: Any) -> tuple[list[Any], bool]:
    """The rows of /predict, and whether there is one: a text or a list of one or two texts is one row, and a list of
    such lists several.
    """
    if isinstance(value, str):
        return [value], True
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        return [_sequence(value)], True
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return [_sequence(item) for item in value], False
    raise RequestError(
        400,
        "inputs: expected a text, a list of a text or two, or a list of such lists.",
        "Empty" if value in ([], "") else "InputError",
    )


def _sequence(texts: list[Any]) -> Any:
    if len(texts) not in (1, 2) or not all(isinstance(text, str) for text in texts):
        raise RequestError(400, "inputs: each list must hold one text, or two that make a pair.", "InputError")
    return texts[0] if len(texts) == 1 else texts


async def similarity(exchange: Exchange) -> Response:
    """How close each sentence is to the source sentence, by the cosine of their embeddings."""
    body = await exchange.json_object()
    refuse_unknown(body, SIMILARITY_KEYS)
    model, inputs, parameters = exchange.only(EMBEDDING), body.get("inputs"), body.get("parameters") or {}
    if not isinstance(inputs, Mapping) or not isinstance(inputs.get("source_sentence"), str):
        raise RequestError(400, "inputs: expected an object with source_sentence and sentences.", "InputError")
    if not isinstance(parameters, Mapping):
        raise _no_parameters()
    refuse_unknown(parameters, TEXT_KEYS - {"inputs", "normalize", "dimensions"})
    texts = [inputs["source_sentence"], *_inputs({"inputs": inputs.get("sentences")})]
    answers = await _embedded(exchange, model, texts, parameters)
    vectors = np.stack([row["embedding"] for row in answers])
    return to_json(vectors[1:] @ vectors[0])


async def info(exchange: Exchange) -> Response:
    """Facts of the model, and the server's limits."""
    model = exchange.only(ALL)
    generation, manifest = model.generation, model.manifest
    facts = {} if generation is None else generation.facts()
    limits = model.entry.limits
    return to_json(
        {
            "model_id": model.name,
            "model_sha": manifest.digest,
            "model_dtype": facts.get("dtype"),
            "model_type": _model_type(model, facts.get("labels") or []),
            "max_concurrent_requests": exchange.app.settings.limits.connections,
            "max_input_length": facts.get("reads"),
            "max_batch_tokens": facts.get("settings", {}).get("batch_tokens", [None])[0],
            "max_batch_requests": None,
            "max_client_batch_size": limits.rows,
            "auto_truncate": True,
            "tokenization_workers": model.entry.replicas,
            "version": hfspec.__version__,
            "sha": None,
            "docker_label": None,
            "digest": manifest.digest,
            "fingerprint": facts.get("fingerprint"),
        }
    )


def _model_type(model: Model, labels: list[str]) -> dict[str, Any]:
    if model.task in EMBEDDING:
        return {"embedding": {"pooling": "checkpoint"}}
    if model.task in SPARSE:
        return {"embedding": {"pooling": "splade"}}
    names = {str(number): label for number, label in enumerate(labels)}
    kind = "reranker" if model.task == "text-ranking" else "classifier"
    return {kind: {"id2label": names, "label2id": {label: int(number) for number, label in names.items()}}}


def _inputs(body: Mapping[str, Any]) -> list[str]:
    """The texts; raises RequestError."""
    value = body.get("inputs")
    if isinstance(value, str):
        return [value]
    if value == []:
        raise RequestError(400, "inputs: the list has no texts; give at least one.", "Empty")
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise RequestError(400, "inputs: expected a text or a list of texts.", "InputError")
    return value


async def _asked(
    exchange: Exchange, model: Model, data: Any, rows: int, settings: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The full answer to each row."""
    answers: list[dict[str, Any]] = await exchange.answer(
        model, exchange.asking(data, rows, None, "full", settings=settings)
    )
    return answers


def _whole(answers: list[dict[str, Any]], *, cuts: bool) -> list[dict[str, Any]]:
    """The answers; raises RequestError where a text was cut and may not be."""
    if not cuts:
        refuse_cut(answers)
    return answers


def _endpoint(method: str, path: str, handler: Any, summary: str) -> Endpoint:
    return Endpoint(method, path, handler, tei_error, "tei", summary=summary)


ENDPOINTS = (
    _endpoint("POST", "/embed", embed, "Embeddings of texts"),
    _endpoint("POST", "/embed_sparse", embed_sparse, "Sparse embeddings of texts"),
    _endpoint("POST", "/predict", predict, "Labels and scores of texts"),
    _endpoint("POST", "/similarity", similarity, "How close sentences are to another"),
    _endpoint("GET", "/info", info, "What the model is"),
)


def _no_parameters() -> RequestError:
    return RequestError(400, "parameters: expected an object.", "InputError")
