"""The library sentence-transformers. Its checkpoints are those of transformers with modules around them, and the rooms
of transformers plan and load them.
"""
