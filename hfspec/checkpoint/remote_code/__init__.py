"""Code that a checkpoint brings along: read and held against what was reviewed, never run."""
