"""Sounds and images."""
