"""POST /, for clients that know a server by its address alone, such as huggingface_hub's InferenceClient.

As in TEI, the model's task says what the request means.
"""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from hfspec.serving.front.app import Endpoint
from hfspec.serving.front.exchange import Exchange
from hfspec.serving.protocols import rerank, tei


async def root(exchange: Exchange) -> Response:
    """Embeddings, labels, a ranking, or how close sentences are to another."""
    body = await exchange.json_object()
    model = exchange.only(tei.ALL)
    if model.task in tei.SPARSE:
        return await tei.embed_sparse(exchange)
    if model.task in tei.EMBEDDING:
        return await (tei.similarity if isinstance(body.get("inputs"), Mapping) else tei.embed)(exchange)
    return await (rerank.tei_rerank if "query" in body else tei.predict)(exchange)


ENDPOINTS = (Endpoint("POST", "/", root, tei.tei_error, "tei", summary="What the model is for, as TEI has it"),)
