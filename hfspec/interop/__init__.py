"""Artifacts in other tools' stores and registries."""
