"""Why a server could not show a certificate, or why no client would take it."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

CERTIFICATE, KEY, ENCRYPTED = b"CERTIFICATE-----", b"PRIVATE KEY-----", b"ENCRYPTED"  # in the lines of PEM
# OpenSSL's number for a certificate's fault -> the fault.
EXPIRY = {9: "the certificate is not valid yet", 10: "the certificate has expired"}
ROUNDS = 8  # more than the turns that two sides of a handshake take


def fault(certificate: Path, key: Path) -> str:
    """Why the certificate and its key cannot be used today; empty where they can.

    Args:
        certificate: The certificate and its chain, a PEM file.
        key: The certificate's private key, a PEM file.

    Returns:
        The cause, without a full stop.
    """
    try:
        return _form(certificate, key) or _use(certificate, key)
    except OSError as error:
        return f"{error.filename}: {os.strerror(error.errno)}" if error.filename and error.errno else str(error)


def _form(certificate: Path, key: Path) -> str:
    certificates, secret = certificate.read_bytes(), key.read_bytes()
    if CERTIFICATE not in certificates:
        return "`certificate` holds no certificate in PEM"
    if KEY not in secret:
        return "`key` holds no private key in PEM"
    return "`key` has a password" if ENCRYPTED in secret else ""


def _use(certificate: Path, key: Path) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key does not belong to the certificate"
        return error.reason.lower().replace("_", " ") if error.reason else "they are not PEM"
    return _expiry(context, certificate)


def _expiry(server: ssl.SSLContext, certificate: Path) -> str:
    """Why a client that trusts the certificate would not take it today: a handshake in memory tells."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client.wrap_bio(to_client, to_server), server.wrap_bio(to_server, to_client, server_side=True)
    for turn in range(ROUNDS):
        try:
            sides[turn % 2].do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            return EXPIRY.get(error.verify_code, "")
    return ""
