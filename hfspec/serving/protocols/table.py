"""Every protocol that the server speaks."""

from __future__ import annotations

from hfspec.serving.front.app import Endpoint
from hfspec.serving.protocols import health, native, openai

ENDPOINTS: tuple[Endpoint, ...] = (*native.ENDPOINTS, *health.ENDPOINTS, *openai.ENDPOINTS)
