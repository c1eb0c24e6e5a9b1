"""How transformers and torch are called: without a word, and without weights."""
