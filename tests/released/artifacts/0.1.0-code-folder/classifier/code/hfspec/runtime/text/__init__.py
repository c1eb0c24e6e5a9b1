"""Tasks that read a text and label it, its tokens, or its gaps."""
