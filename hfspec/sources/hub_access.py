"""Which hub, as whom, with what patience and which cache: all from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from huggingface_hub import constants, get_token
from huggingface_hub.utils import build_hf_headers

from hfspec.errors import SourceError
from hfspec.sources.hub_cache import RepoCache, cache_root
from hfspec.sources.hub_errors import HubRequest
from hfspec.sources.patience import Patience

DEFAULT_ENDPOINT = "https://huggingface.co"
ADDRESS = re.compile(r"https?://[^/\s]+")


@dataclass(frozen=True, slots=True)
class Access:
    """How one repository is reached. ``headers`` say who asks; none are sent when ``offline``."""

    request: HubRequest
    cache: RepoCache
    token: str | None
    headers: Mapping[str, str]
    offline: bool


def access(repo: str, revision: str, environment: Mapping[str, str]) -> Access:
    """Read from the environment how to reach the hub, by the names that its client documents.

    Args:
        repo: The repository, ``owner/name``.
        revision: The revision asked for.
        environment: The environment's variables.

    Returns:
        Endpoint, cache, token, time-outs and offline mode.

    Raises:
        SourceError: The endpoint is no address.
    """
    endpoint = (environment.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")
    if not ADDRESS.match(endpoint):
        raise SourceError(f"HF_ENDPOINT is {endpoint!r}, which is not an address: write it as {DEFAULT_ENDPOINT}.")
    token = get_token()
    request = HubRequest(endpoint, repo, revision, bool(token), Patience.from_environment(environment))
    offline = _is_true(environment.get("HF_HUB_OFFLINE")) or constants.HF_HUB_OFFLINE
    headers = {} if offline else build_hf_headers(token=token)
    return Access(request, RepoCache(cache_root(environment), repo), token, headers, offline)


def _is_true(text: str | None) -> bool:
    return (text or "").upper() in {"1", "ON", "YES", "TRUE"}
