"""Every protocol that the server speaks."""

from __future__ import annotations

from hfspec.serving.front.app import Endpoint
from hfspec.serving.page import page
from hfspec.serving.protocols import health, mlflow, native, openai, openapi, rerank, root, tei
from hfspec.serving.protocols.v2 import rest as v2

ENDPOINTS: tuple[Endpoint, ...] = (
    *native.ENDPOINTS,
    *openai.ENDPOINTS,
    *rerank.ENDPOINTS,
    *tei.ENDPOINTS,
    *root.ENDPOINTS,
    *v2.ENDPOINTS,
    *mlflow.ENDPOINTS,
    *health.ENDPOINTS,
    *openapi.ENDPOINTS,
    *page.ENDPOINTS,
)
