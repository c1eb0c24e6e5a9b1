"""Text made token by token: continuations, summaries, translations."""
