"""A checkpoint's facts and what can be built from it: read from its config, its small files and its headers only."""
