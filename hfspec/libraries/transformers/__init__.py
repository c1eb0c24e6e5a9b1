"""The library transformers: the files of its checkpoints, their plan, their load, and the values they must not have."""
