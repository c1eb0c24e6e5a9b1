"""Where bits come from: the hub, a folder, a Python package. The only network code."""
