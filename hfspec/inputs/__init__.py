"""A caller's input as rows of named columns; no model is needed."""
