"""Artifacts behind HTTP."""
