"""The backends, which do a model's arithmetic instead of torch's own choice."""
