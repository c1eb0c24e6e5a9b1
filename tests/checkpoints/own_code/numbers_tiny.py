"""A number."""

SHIFT = 0.125
