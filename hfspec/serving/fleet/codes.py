"""The kinds of problem that a fleet file can have beside those of the language: code -> its meaning."""

from __future__ import annotations

from types import MappingProxyType

CODES = MappingProxyType(
    {
        "api-keys": "API keys that cannot be read, or two of one name.",
        "consent": "An artifact with Python code of its own, which the fleet file does not consent to run.",
        "no-such-file": "A file that a fleet file names and that does not exist.",
        "not-an-artifact": "A folder that a fleet file names and that is no artifact, or a damaged one.",
        "open-server": "A server without API keys that listens beyond its machine.",
        "plain-secret": "An API key that is written out in a fleet file.",
        "same-name": "Two models of a fleet with one name or alias.",
        "tls": "A certificate and a key that do not make a TLS server.",
        "unknown-model": "An override for a model that the fleet does not have.",
    }
)
