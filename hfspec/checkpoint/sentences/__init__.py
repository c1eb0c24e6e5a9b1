"""The parts of a compile that only checkpoints of sentence-transformers need."""
