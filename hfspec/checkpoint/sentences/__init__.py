"""What is special to checkpoints of sentence-transformers."""
