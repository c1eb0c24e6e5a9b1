"""The sentence-transformers library's tasks: embeddings, similarity, ranking."""
