"""Elliptic-curve keys in PEM files, as signatures need them. Nothing of a key is ever in a message."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from hfspec.errors import UsageError

CURVES = ("secp256r1", "secp384r1", "secp521r1")  # those that the model-signing library signs with
MAKE_PRIVATE = "openssl ecparam -name prime256v1 -genkey -noout -out key.pem"
MAKE_PUBLIC = "openssl ec -in key.pem -pubout -out key.pub"
PASSWORD = "HFSPEC_KEY_PASSWORD"  # noqa: S105 - the variable's name
ENCRYPTED = b"ENCRYPTED"  # in the first lines of a PEM file that a password protects


def is_protected(key: Path) -> bool:
    """Whether a password guards the private key in a PEM file; raises UsageError when it cannot be read."""
    return ENCRYPTED in _content(key)


def check_private(key: Path, password: str | None) -> bytes | None:
    """The password that opens the private key, None where it needs none; raises UsageError for one that cannot sign."""
    from cryptography.hazmat.primitives import serialization

    content = _content(key)
    needed = password.encode() if password and ENCRYPTED in content else None
    if ENCRYPTED in content and needed is None:
        raise UsageError(f"the key {key} is protected by a password; put it into the environment as {PASSWORD}.")
    try:
        private = serialization.load_pem_private_key(content, needed)
    except Exception as error:  # of many kinds
        what = "is protected by another password" if needed else "is not a private key in PEM form"
        raise UsageError(f"{key} {what}; a new key is made with `{MAKE_PRIVATE}`.") from error
    _check_curve(key, private)
    return needed


def check_public(key: Path) -> str:
    """The sha256 of this public key's PEM form, its name in a signature's bundle; raises UsageError for another."""
    from cryptography.hazmat.primitives import serialization

    content = _content(key)
    if b"PRIVATE KEY" in content:
        raise UsageError(f"{key} is a private key, which is for signing; its public half is made with `{MAKE_PUBLIC}`.")
    try:
        public: Any = serialization.load_pem_public_key(content)
    except Exception as error:  # of many kinds
        raise UsageError(f"{key} is not a public key in PEM form; it is made with `{MAKE_PUBLIC}`.") from error
    _check_curve(key, public)
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(public.public_bytes(serialization.Encoding.PEM, form)).hexdigest()


def _check_curve(key: Path, material: Any) -> None:
    if getattr(getattr(material, "curve", None), "name", "") not in CURVES:
        raise UsageError(
            f"{key} is not a key on one of the curves {', '.join(CURVES)}; one is made with `{MAKE_PRIVATE}`, its"
            f" public half with `{MAKE_PUBLIC}`."
        )


def _content(key: Path) -> bytes:
    try:
        return key.read_bytes()
    except OSError as error:
        raise UsageError(f"the key {key} cannot be read: {error.strerror or error}.") from error
