"""Every protocol that the server speaks."""

from __future__ import annotations

from hfspec.serving.front.app import Endpoint
from hfspec.serving.protocols import health, mlflow, native, openai, rerank, tei

ENDPOINTS: tuple[Endpoint, ...] = (
    *native.ENDPOINTS,
    *health.ENDPOINTS,
    *openai.ENDPOINTS,
    *rerank.ENDPOINTS,
    *tei.ENDPOINTS,
    *mlflow.ENDPOINTS,
)
