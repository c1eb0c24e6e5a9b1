"""Every protocol that the server speaks."""

from __future__ import annotations

from hfspec.serving.front.app import Endpoint
from hfspec.serving.page import page
from hfspec.serving.protocols import health, inference_v2, native, openai, openapi

ENDPOINTS: tuple[Endpoint, ...] = (
    *native.ENDPOINTS,
    *openai.ENDPOINTS,
    *inference_v2.ENDPOINTS,
    *health.ENDPOINTS,
    *openapi.ENDPOINTS,
    *page.ENDPOINTS,
)
