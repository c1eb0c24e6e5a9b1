"""Answers found in a context or in a table."""
