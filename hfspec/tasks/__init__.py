"""The meaning of each task: its input, its answers, its settings. Read by the compiler and by the runtime; no torch."""
