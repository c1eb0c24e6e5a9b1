"""Secrets that no message may show: passwords in addresses, and tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

HIDDEN = "***"
# user:password@ or token@ in front of a host. A port with a path after it is no password.
IN_ADDRESS = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]*:/{2})(?:[^\s/@:'\"`<>]*:(?!\d+/)[^\s'\"`<>]*@|[^\s/@'\"`<>]+@)(?=[\w\[])"
)
WITHOUT_SCHEME = re.compile(r"(?<![\w/.:@-])[A-Za-z0-9._%+-]+:(?!\d+[:@])[^\s/:@'\"`<>]+@(?=[\w-]+(?:\.[\w-]+|:\d))")
IN_QUERY = re.compile(
    r"(?P<name>[?&](?:access_token|api_key|apikey|auth|key|password|secret|sig|signature|token|X-Amz-Signature)=)[^\s&#'\"`<>]+",
    re.IGNORECASE,
)
# The forms of tokens, as their makers document them: (kind, pattern).
FORMS = (
    ("a token of the Hugging Face Hub", r"(?:hf|api_org)_(?:[A-Za-z0-9]{30,}|(?=[a-z]*[A-Z0-9])[A-Za-z0-9]{20,})"),
    (
        "a key of OpenAI or Anthropic",
        r"sk-(?=[A-Za-z_-]*\d)(?:[A-Za-z0-9]{1,8}-)*[A-Za-z0-9_]{16,}[A-Za-z0-9_-]*",
    ),
    ("an access key of AWS", r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}(?![0-9A-Za-z])"),
    ("a token of GitHub", r"gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,}"),
    ("a token of GitLab", r"gl(?:pat|dt|rt|cbt)-[A-Za-z0-9_-]{20,}"),
    ("a key of Google", r"AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_-]{20,}"),
    ("a token of Slack", r"xox[abeoprs](?:\.xox[a-z])?-[0-9A-Za-z-]{10,}|xapp-[0-9A-Za-z-]{10,}"),
    ("a token of Databricks", r"dapi[0-9a-f]{32}(?:-\d)?"),
    ("a key of Stripe", r"[rs]k_(?:live|test)_[0-9A-Za-z]{16,}"),
    ("a token of npm or PyPI", r"npm_[A-Za-z0-9]{36}|pypi-AgEI[A-Za-z0-9_-]{20,}"),
    ("a key of SendGrid", r"SG\.[\w-]{16,}\.[\w-]{16,}"),
    ("a JSON Web Token", r"eyJ[A-Za-z0-9_-]{6,}\.eyJ[A-Za-z0-9_-]{6,}\.[A-Za-z0-9_-]*"),
    ("a key of Azure Storage", r"AccountKey=[A-Za-z0-9+/=]{40,}"),
    ("a private key", r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?:[^-]*-----END [A-Z0-9 ]*-----)?"),
)
TOKEN = re.compile("|".join(rf"(?P<t{number}>(?<![\w-]){form})" for number, (_, form) in enumerate(FORMS)))
SHOWN = 4


def without_passwords(text: str) -> str:
    """The text with ``***`` for user and password in every address, and for a signature or token in its query."""
    if "@" not in text and "=" not in text:
        return text
    text = IN_ADDRESS.sub(rf"\g<scheme>{HIDDEN}@", text)
    return IN_QUERY.sub(rf"\g<name>{HIDDEN}", WITHOUT_SCHEME.sub(f"{HIDDEN}@", text))


def redacted(text: str) -> str:
    """The text without passwords, and with only the beginning of whatever looks like a token."""
    return TOKEN.sub(lambda match: shown(match.group()), without_passwords(text))


def tokens(text: str) -> Iterator[tuple[int, str, str]]:
    """Each text that looks like a token: the index where it begins, its kind, and its first characters."""
    for match in TOKEN.finditer(text):
        yield match.start(), FORMS[int(str(match.lastgroup)[1:])][0], shown(match.group())


def shown(token: str) -> str:
    """The beginning of a token, enough to find it by."""
    return token.split("\n", maxsplit=1)[0] if token.startswith("-----") else f"{token[:SHOWN]}…"


def texts(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text in a JSON value with its path; a key that looks like a token is one as well."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            if any(True for _ in tokens(key)):
                yield (*path, key), key
            yield from texts(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from texts(item, (*path, index))
