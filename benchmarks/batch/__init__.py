"""The cost of `hfspec batch` beside the same rows in a loop."""
