"""A PEFT adapter in an artifact, put on its model."""
