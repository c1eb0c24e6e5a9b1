"""Rows of tables, answered by artifacts: files in, files out, and the types that other engines need for the same."""
