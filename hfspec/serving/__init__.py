"""Artifacts behind HTTP: the fleet file, the server, and the processes that have the models."""
