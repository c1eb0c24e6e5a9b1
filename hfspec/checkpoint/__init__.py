"""Checkpoints on disk: safetensors headers, streamed copies and casts, and what an architecture expects of them."""
