"""Calls of transformers, torch and Ray: without their log lines, and without weights where none are needed."""
