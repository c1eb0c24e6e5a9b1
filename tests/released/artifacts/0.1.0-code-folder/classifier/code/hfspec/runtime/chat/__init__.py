"""Conversations, and the OpenAI forms of chat, completions and embeddings."""
