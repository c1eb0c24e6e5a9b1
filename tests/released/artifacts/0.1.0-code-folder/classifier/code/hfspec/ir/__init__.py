"""The values that pass between stages: frozen, without I/O."""
