"""Whether an artifact is what its manifest says, before anything of it is parsed."""
