"""Rows of files, answered."""
