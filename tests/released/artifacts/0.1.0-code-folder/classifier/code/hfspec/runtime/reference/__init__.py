"""Artifacts whose weights lie elsewhere: finding them, holding them against their digests, putting them together."""
