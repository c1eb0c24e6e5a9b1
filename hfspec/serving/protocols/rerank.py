"""Rerank, as TEI (/rerank), Jina and Cohere (/v1/rerank), and Cohere's second version (/v2/rerank) have it.

https://huggingface.github.io/text-embeddings-inference, https://jina.ai/reranker, https://docs.cohere.com/reference/rerank

Scores are between 0 and 1, the sigmoid of the model's logit, but for TEI's ``raw_scores``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from hfspec.ir.signature import Tensor
from hfspec.serving.front.app import Endpoint, ErrorForm
from hfspec.serving.front.errors import RequestError
from hfspec.serving.front.exchange import Exchange, to_json
from hfspec.serving.front.model import Model
from hfspec.serving.protocols.tei import flag, refuse_cut, refuse_unknown, tei_error, truncation

TASKS = frozenset({"text-ranking"})
WITHOUT_EFFECT = frozenset({"max_chunks_per_doc", "max_tokens_per_doc", "priority"})  # the model cuts texts
KEYS = frozenset({"model", "query", "documents", "top_n", "return_documents"}) | WITHOUT_EFFECT
TEI_KEYS = frozenset({"model", "query", "texts", "raw_scores", "return_text", "truncate", "truncation_direction"})


def cohere_error(error: RequestError, exchange: Exchange) -> Response:
    """An error in Cohere's form (message) and in Jina's (detail)."""
    return to_json({"id": exchange.id, "message": error.message, "detail": error.message}, error.status)


async def tei_rerank(exchange: Exchange) -> Response:
    """Texts by how well they answer the query, best first."""
    body = await exchange.json_object()
    refuse_unknown(body, TEI_KEYS)
    model = _model(exchange, body)
    query, texts = _text(body.get("query"), "query"), _texts(body.get("texts"), "texts")
    raw, cuts = flag(body, "raw_scores"), truncation(body)
    ranking = await _ranking(exchange, model, query, texts, "identity" if raw else "sigmoid")
    if not cuts:
        refuse_cut(ranking)
    results = [{"index": entry["corpus_id"], "score": entry["score"]} for entry in ranking]
    if flag(body, "return_text"):
        results = [{**entry, "text": texts[entry["index"]]} for entry in results]
    return to_json(results)


async def first_version(exchange: Exchange) -> Response:
    """Documents by how well they answer the query, as Jina and Cohere's first version have it."""
    return await _reranked(exchange, "1")


async def second_version(exchange: Exchange) -> Response:
    """Documents by how well they answer the query, as Cohere's second version has it."""
    return await _reranked(exchange, "2")


async def _reranked(exchange: Exchange, version: str) -> Response:
    body = await exchange.json_object()
    refuse_unknown(body, KEYS)
    model = _model(exchange, body)
    query, documents = _text(body.get("query"), "query"), _texts(body.get("documents"), "documents")
    most = body.get("top_n")
    if most is not None and (type(most) is not int or most < 1):
        raise RequestError(400, f"top_n: expected a number of documents, at least 1; found {most!r}.", "InputError")
    ranking = await _ranking(exchange, model, query, documents, "sigmoid")
    results = [{"index": entry["corpus_id"], "relevance_score": entry["score"]} for entry in ranking[:most]]
    if flag(body, "return_documents"):
        results = [{**entry, "document": {"text": documents[entry["index"]]}} for entry in results]
    tokens = sum(entry["tokens"] for entry in ranking)
    meta = {"api_version": {"version": version}, "billed_units": {"search_units": 1}}
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return to_json({"id": exchange.id, "model": model.name, "results": results, "usage": usage, "meta": meta})


async def _ranking(
    exchange: Exchange, model: Model, query: str, texts: Sequence[str], function: str
) -> list[dict[str, Any]]:
    """Every text's score, best first."""
    inputs = model.manifest.signature.inputs
    has_documents = not isinstance(inputs, Tensor) and "documents" in {column.name for column in inputs}
    data: Any = {"query": query, "documents": list(texts)} if has_documents else [[query, text] for text in texts]
    settings = {"activation_fn": function, "top_k": None}
    answers = await exchange.answer(model, exchange.asking(data, len(texts), None, "full", settings=settings))
    if not has_documents:
        if answers and "score" not in answers[0]:
            raise RequestError(400, "documents are ranked by one score, and this model gives several.", "TaskError")
        entries = [{"corpus_id": place, **entry} for place, entry in enumerate(answers)]
        return sorted(entries, key=lambda entry: -float(entry["score"]))
    ranking: list[dict[str, Any]] = answers[0]["ranking"]
    return ranking


def _model(exchange: Exchange, body: Mapping[str, Any]) -> Model:
    name = body.get("model")
    if name is None:
        return exchange.only(TASKS)
    return exchange.for_tasks(exchange.model(name), TASKS)


def _text(value: Any, key: str) -> str:
    """A text, or the one in an object {text}; raises RequestError."""
    text = value.get("text") if isinstance(value, Mapping) else value
    if not isinstance(text, str):
        raise RequestError(400, f"{key}: expected a text, or an object with one as `text`.", "InputError")
    return text


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, list) or not value:
        raise RequestError(
            400, f"{key}: expected a list of texts, at least one.", "Empty" if value == [] else "InputError"
        )
    return [_text(item, f"{key}[{place}]") for place, item in enumerate(value)]


def _endpoint(path: str, handler: Any, error: ErrorForm, summary: str) -> Endpoint:
    return Endpoint("POST", path, handler, error, "rerank", summary=summary)


ENDPOINTS = (
    _endpoint("/rerank", tei_rerank, tei_error, "Texts by how well they answer a query, as TEI has it"),
    _endpoint("/v1/rerank", first_version, cohere_error, "Documents by how well they answer a query"),
    _endpoint("/v2/rerank", second_version, cohere_error, "Documents by how well they answer a query"),
)
