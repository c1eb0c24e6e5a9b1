"""The fleet file: which artifacts are served, with what limits, at which address."""
