"""API keys: the caller's name, and whether its key has the scope."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from hfspec.serving.fleet.values import ApiKeys
from hfspec.serving.front.errors import RequestError

CHALLENGE = {"www-authenticate": "Bearer"}
ANONYMOUS = ""
# A browser sends the key that it was given once with every request, also with the requests of pages of other sites.
# These may open a page here (GET), whose content they cannot read, and do no more.
OWN_SITE = frozenset({b"same-origin", b"none"})


def caller(keys: ApiKeys | None, headers: Mapping[bytes, bytes], scope: str, method: str = "POST") -> str:
    """The name of the key in the headers, which is compared in constant time; empty where no keys are asked for.

    Raises RequestError: 401 without a known key, 403 for one without the scope. Without keys nobody may administer.
    """
    if keys is None or not keys.keys:
        if scope == "admin":
            raise RequestError(403, "this server has no API keys, so that nobody may administer it.", "ForbiddenError")
        return ANONYMOUS
    token = _token(headers, method)
    digest = hashlib.sha256(token).hexdigest()
    match = None
    for key in keys.keys:  # compare with all of them, so that time tells nothing
        if hmac.compare_digest(digest, key.sha256 or "") and match is None:
            match = key
    if match is None:
        message = "the API key is not known." if token else "an API key is needed: `Authorization: Bearer KEY`."
        raise RequestError(401, message, "UnauthorizedError", headers=CHALLENGE)
    if scope not in match.scopes:
        raise RequestError(403, f"the API key {match.name!r} may not be used for this.", "ForbiddenError")
    return match.name


def _token(headers: Mapping[bytes, bytes], method: str) -> bytes:
    kind, _, text = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer":
        return text.strip()
    if kind.lower() == b"basic" and (method == "GET" or headers.get(b"sec-fetch-site", b"none") in OWN_SITE):
        return _password(text)
    return headers.get(b"x-api-key") or headers.get(b"api-key") or b""


def _password(text: bytes) -> bytes:
    """The key that a browser asked for; empty where there is none."""
    try:
        return base64.b64decode(text.strip(), validate=True).partition(b":")[2]
    except binascii.Error:
        return b""
