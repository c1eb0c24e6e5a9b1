"""A PEFT adapter and its base: read, held against each other, merged."""
