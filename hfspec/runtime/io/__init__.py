"""Answers on their way out of the model."""
