"""What each task means: its input, its answers, its settings. Read by the compiler and by the runtime; no torch."""
