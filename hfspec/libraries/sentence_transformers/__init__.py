"""What is sentence-transformers' own. Its checkpoints are those of transformers with modules around them, and are
planned and loaded by the parts of transformers.
"""
