"""From rows to batches and back: windows, budgets, memory that runs out."""
