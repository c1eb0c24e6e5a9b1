"""Locks: read, written, compared; where a lock lies and what in the world moved since it was written."""
